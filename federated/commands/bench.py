"""Measures what a federation costs a client: bytes on the wire, and memory of its processes.

Server and clients are commands of their own on this machine, with TLS and keys. Each client reaches
the server through a relay that counts. All but one of them first wait for --idle_seconds without a
question. Every client has all of --data; what is learnt is thrown away.

example:
  pocketllm federate bench --bundle=micro --data=train.tsv --round_steps=16,64 --json=cost.json
"""

import tempfile
from dataclasses import asdict
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import open_bundle, required
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import describe_machine

from ..flower.present import check_flower
from ..measure.federation import Cost, Work, measure
from ..protocol import MOST_STEPS

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder, from `pocketllm export`")
define.string("data", None, "training data, of every client")
define.integer("clients", 3, "number of clients", 2)
define.list("round_steps", ["16", "64"], "steps a message, with commas: a federation each")
define.integer("rounds", 8, "rounds that are counted, behind the first", 1)
define.integer("batch_size", 8, "examples a step and client", 1)
define.float("idle_seconds", 60.0, "time that clients are watched without a question", 10.0)


def run(values) -> dict:
    """Measures; see the module's docstring."""
    required(values, "bundle", "data")
    check_flower()
    counts = [_steps_of(text) for text in values.round_steps or [""]]
    bundle = open_bundle(values)
    load_dataset(values.data, bundle, training=True)
    machine, costs = describe_machine(("flwr", "ai-edge-litert")), []
    print(f"{machine['cpu']}, {machine['cores']} cores; {values.clients} clients", flush=True)
    for count in counts:
        work = Work(
            bundle.folder.absolute(), Path(values.data).absolute(), values.clients, count,
            values.rounds, values.batch_size, values.idle_seconds,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
            costs.append(measure(Path(folder), work, lambda line: print(line, flush=True)))
        print(_described(costs[-1]), flush=True)
    return {"machine": machine, "clients": values.clients, "costs": [asdict(c) for c in costs]}


def _steps_of(text):
    if not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS:
        raise InputError(f"--round_steps={text}: expected 1 to {MOST_STEPS}")
    return int(text)


def _described(cost: Cost) -> str:
    """Returns what a client paid, for people."""
    wire, idle = cost.up_bytes + cost.down_bytes, cost.idle_up_bytes + cost.idle_down_bytes
    memory = ", ".join(f"{name} {count / 1e6:.0f}" for name, count in sorted(cost.memory.items()))
    lines = (
        f"{cost.round_steps} steps a round, {cost.seconds:.1f} s; of a client and round:",
        f"  payload      {cost.question_bytes:,.0f} bytes down, {cost.answer_bytes:,.0f} up",
        f"  on the wire  {cost.down_bytes:,.0f} bytes down, {cost.up_bytes:,.0f} up, "
        f"{wire:,.0f} in all, {cost.connections:.1f} connections",
        f"  waiting      {idle / 1e6:.1f} MB a day: {cost.idle_down_bytes / 1e6:.1f} down, "
        f"{cost.idle_up_bytes / 1e6:.1f} up",
        f"  memory       {cost.largest_bytes / 1e6:.0f} MB anonymous at most; each at most, MB: "
        f"{memory}",
    )
    return "\n".join(lines)
