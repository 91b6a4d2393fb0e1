"""Compares what the server and the clients of a federation have.

The server's seeds must follow from the run's own, its records from the clients' answers in
RUN/rounds.jsonl, and every journal of --runs must be a beginning of the server's. With --bundle the
steps are done again for each, and the parameters must have the same sha256.

example:
  pocketllm federate verify --run=fed --runs=fed/clients/0001,fed/clients/0002 --bundle=micro
"""

from dataclasses import asdict
from pathlib import Path

from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.contract import ENGINES, PERTURB_AND_DECAY, PERTURB_AND_UPDATE
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.journal.reader import JOURNAL

from ..audit import check_seeds, recompute, server_journal, sha256_of_all, shared_steps
from ..steps import config_of

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("run", None, "run directory of the server")
define.list("runs", [], "run directories of clients, with commas")
define.string("bundle", None, "bundle folder: parameters are compared too")
define.enum("engine", "litert", list(ENGINES), "interpreter")


def run(values) -> dict:
    """Verifies; see the module's docstring."""
    required(values, "run")
    folder, clients = Path(values.run), [Path(name) for name in values.runs]
    _check_there(values)
    journal = server_journal(folder)
    check_seeds(folder, journal)
    steps = recompute(folder, journal)
    print(
        f"{folder}: {steps} steps along directions of the run's seed, all of them taken again from "
        "the clients' answers"
    )
    plan = config_of(journal.header, steps).private
    if plan:
        print(f"{folder}: {plan.describe()}")
    shared = {str(client): shared_steps(client, journal) for client in clients}
    for name, count in shared.items():
        print(f"{name}: {count} steps, all of them the server's")
    digests = _sha256(values, folder, shared) if values.bundle else {}
    return {
        "run": str(folder),
        "steps": steps,
        "recomputed": steps,
        "clients": shared,
        "private": plan and asdict(plan),
    } | digests


def _check_there(values):
    """Raises InputError for folders that hold no run, and for the server's among the clients'."""
    for flag, names in (("run", [values.run]), ("runs", values.runs)):
        for name in names:
            if not name or not (Path(name) / JOURNAL).exists():
                whose = "the server" if flag == "run" else "clients, with commas"
                raise InputError(
                    f"--{flag}={name}: no {JOURNAL} is there; give the run directory of {whose}"
                )
    for name in values.runs:
        if Path(name).resolve() == Path(values.run).resolve():
            raise InputError(f"--runs={name}: that is --run itself; give those of clients")


def _sha256(values, folder, shared):
    """Compares the parameters after the last step that all have."""
    bundle = read_bundle(values.bundle)
    journal = server_journal(folder)
    last = min([len(journal.steps), *shared.values()])

    def open_one():
        calls = {PERTURB_AND_UPDATE, PERTURB_AND_DECAY}
        model = open_model(bundle, engine=values.engine, calls=calls)
        model.initialize()
        return model

    folders = [folder, *map(Path, shared)]
    digest, others = sha256_of_all(folders, last, open_one)
    if others:
        raise RunError(f"{others[0]}: other parameters after step {last} than the server's")
    print(f"parameters after step {last}: sha256 {digest} on all {len(folders)}")
    return {"step": last, "sha256": digest}
