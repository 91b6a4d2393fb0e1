"""Copies a run directory from the phone, for `pocketllm replay`, `eval` and `report`.

The journal, metrics, evaluations, warnings, measured.json and machine.json are copied; parameters
and moments only of a run with gradients (Adam, SGD), because the journal of others gives them
again. Of a federation's client that is the journal. Data is never copied.

examples:
  pocketllm device pull --run=first
  pocketllm device pull --run=first --out=runs/first --force
"""

import re
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.health.record import WARNINGS
from pocketllm.runtime.host.files import read_json, sha256_of
from pocketllm.runtime.host.folders import check_replaceable, staged
from pocketllm.runtime.host.lock import LOCK
from pocketllm.runtime.journal.flushed import FLUSHED
from pocketllm.runtime.journal.lines import EVALUATIONS, METRICS
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.optim.interface import KEPT
from pocketllm.runtime.rates.record import MEASURED
from pocketllm.runtime.run.folder import CONFIG, optimizer_in
from pocketllm.runtime.run.sessions import MACHINE

from ..phone.adb import fetch_file
from ..phone.job import check_stopped
from ..phone.paths import answering_job, checked_name, run_folder, training_job
from ..phone.tree import sums_in
from .shared import define_phone_flags, open_phone

FILES = {CONFIG, FLUSHED, JOURNAL, METRICS, EVALUATIONS, MACHINE, MEASURED, WARNINGS}
PARAMETERS = re.compile(r"(parameters|moments)-\d+\.npz")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_phone_flags(FLAGS)
define.string("run", None, "name of the run on the phone")
define.string("out", None, "folder to write; none: --run")
define.bool("force", False, "overwrite a run that is there")


def run(values) -> dict:
    """Pulls; see the module's docstring."""
    required(values, "run")
    name, out = checked_name("run", values.run), Path(values.out or values.run).absolute()
    check_replaceable(out, values.force, _belongs_to_run, "a run")
    phone = open_phone(values)
    for job in (training_job(name), answering_job(name)):
        check_stopped(phone, job)
    there = run_folder(name)
    sums = sums_in(phone, there)
    is_clients = JOURNAL in sums and CONFIG not in sums  # of a federation: it has no settings
    if CONFIG not in sums and not is_clients:
        raise InputError(f"{there}: no run on the phone; --run takes the name it was trained under")
    with staged(out) as beside:

        def fetch(name):
            _fetch(phone, f"{there}/{name}", sums[name], beside / name)

        keeps_parameters = False
        if not is_clients:
            fetch(CONFIG)
            optimizer = optimizer_in(read_json(beside / CONFIG, "pull it again"), beside / CONFIG)
            keeps_parameters = optimizer.kind == KEPT
        names = sorted(
            file
            for file in sums
            if file in FILES or (keeps_parameters and PARAMETERS.fullmatch(file))
        )
        for file in names:
            if file != CONFIG:
                fetch(file)
    print(f"{out}: {', '.join(names)}")
    return {"run": str(out), "files": names, "serial": phone.serial}


def _belongs_to_run(name):
    return name in (*FILES, LOCK) or bool(PARAMETERS.fullmatch(name))


def _fetch(phone, remote, sha256, path):
    fetch_file(phone, remote, path)
    if sha256_of(path) != sha256:
        raise RunError(f"{remote}: arrived damaged; run the same command again")
