"""Runs a federation's server and all its clients in this process, on parts of one data file.

The protocol, the journals and the aggregation are those of a real federation; only nothing travels.
The clients share one model in turn. RUN is the server's run directory, an ordinary run, and
RUN/clients has a directory a client. The same command goes on where it stopped.

examples:
  pocketllm federate simulate --bundle=micro --data=train.tsv --clients=100 --alpha=0.1 \\
      --fraction=0.1 --run=fed --steps=600 --batch_size=8 --lr=3e-4 --dev=dev.tsv
  pocketllm eval --bundle=micro --data=heldout.tsv --run=fed
"""

from dataclasses import asdict, replace
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import (
    define_session_flags,
    open_bundle,
    open_session,
    required,
)
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.run.folder import start_or_continue, steps_so_far
from pocketllm.runtime.run.restore import bring_to, point_of

from ..rounds import serve
from ..simulation.in_process import grid_of
from ..simulation.parts import drawn_parts
from ..simulation.settings import Simulation, check_simulation, write_simulation
from ..terms import Watcher
from .private_flags import People
from .shared import alpha_of, client_calls, define_federation_flags, federation_of

CLIENTS = "clients"  # in the server's run directory

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define_federation_flags(FLAGS)
define.string("data", None, "training data, of all clients together")
define.string("dev", None, "data to evaluate on at the end")
define.integer("clients", 10, "number of clients", 1)
define.string("alpha", "inf", "of the Dirichlet distribution of labels; inf: all the same")
define.integer("split_seed", 0, "random seed of the clients' parts", 0)


def run(values) -> dict:
    """Simulates; see the module's docstring."""
    required(values, "bundle", "data", "run", "steps")
    bundle, folder = open_bundle(values), Path(values.run)
    if values.min_clients > values.clients:
        raise InputError(f"--min_clients={values.min_clients}: there are {values.clients} clients")
    data = load_dataset(values.data, bundle, training=True)
    people = People(values.clients, len(data.examples) // values.clients)
    config, terms = federation_of(values, bundle, people)
    terms = replace(terms, patience=3, refused_rounds=3, quorum=1.0)
    simulation = Simulation(
        values.clients, str(alpha_of(values.alpha)), values.split_seed, values.data, data.sha256
    )
    check_simulation(folder, simulation, len(steps_so_far(folder, config)))
    dev = load_dataset(values.dev, bundle) if values.dev else None
    labels = [example.golds[0] if example.golds else 0 for example in data.examples]
    parts = drawn_parts(labels, values.clients, alpha_of(values.alpha), values.split_seed)
    for dataset in filter(None, (data, dev)):
        print(dataset.describe(), flush=True)
    if config.private:
        print(config.private.describe(), flush=True)
    lengths = data.buckets(bundle.lengths) | (dev.buckets(bundle.lengths) if dev else set())
    model = open_session(values, bundle, client_calls(lengths))
    with Progress("training", values.steps, "step") as bar:
        watcher = Watcher(lambda step: bar.advance(1, step.describe()), bar.say)
        own = [replace(data, examples=[data.examples[p] for p in places]) for places in parts]
        with run_lock(folder):
            start_or_continue(folder, config)
            write_simulation(folder, simulation)
        grid = grid_of(model, own, folder / CLIENTS, bar.say, apart=bool(config.private))
        served = serve(folder, config, terms, grid, watcher=watcher)
    print(
        f"{folder}: {served.last_step} steps in {served.rounds} rounds, {served.empty_rounds} "
        f"without enough answers, {len(parts)} clients of {len(parts[0])} examples"
    )
    result = {"run": str(folder), **asdict(served), "clients": len(parts)}
    if config.private:
        result["private"] = asdict(config.private)
    if dev and not served.stopped:
        model.initialize()
        bring_to(model, point_of(folder, bundle, served.last_step))
        evaluation = evaluate(model, dev)
        print(f"{folder}: dev {evaluation.describe()}")
        result["dev"] = evaluation.summary()
    return result
