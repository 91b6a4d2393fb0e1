"""`pocketllm train` that kills itself in a phase of its run: at the n-th call of what does it.

python -m pocketllm.benchmarks.torture.killed PHASE N SNAPSHOT_STEPS train --bundle=… …
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pkgutil import resolve_name
from unittest import mock

from pocketllm.runtime import cli

PAUSE_STEPS = 9  # so many steps after each other, then a pause
RUN, WRITER = "pocketllm.runtime.run", "pocketllm.runtime.journal.writer"
MODEL = "pocketllm.runtime.engine.model.Model"
# What does a phase, of any optimizer. The kill comes right before, or, of HALVES, in the middle.
CALLS = {
    "start": ("pocketllm.runtime.host.files.os.replace",),  # config.json, journal, flushed
    "step": (
        "pocketllm.runtime.optim.applied.Recorder.perturb",
        *(f"{MODEL}.{name}" for name in ("adam_step", "accumulate", "apply_adam", "apply_sgd")),
    ),
    "line": (f"{WRITER}.JournalWriter.append",),  # the line is written, the record is not
    "record": (f"{WRITER}.os.pwrite",),
    "flush": ("pocketllm.runtime.journal.flushed._encoded",),  # flushed, and not marked yet
    "evaluation": (f"{RUN}.listening.append_evaluation",),
    "snapshot": (f"{RUN}.parameters.np.lib.format.write_array",),
    "pause": ("pocketllm.benchmarks.torture.killed.paused",),
    "replay": (f"{RUN}.journalled.replay", f"{RUN}.kept.minibatch_of"),
    "end": (f"{WRITER}.end_mark",),
}
PHASES = tuple(CALLS)


def dying(real: Callable, phase: str, number: int, calls: Iterator[int]) -> Callable:
    """Returns a function that kills this process in its n-th call, and else does what `real` does.

    Args:
      real: the function.
      phase: one of PHASES.
      number: n, 1 for the first call.
      calls: numbers those of all functions of the phase, together.
    """

    def call(*arguments, **named):
        if next(calls) == number:
            if phase in HALVES:
                HALVES[phase](real, *arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    return call


def main(phase: str, number: int, snapshot_steps: int, arguments: list[str]) -> int:
    """Runs a command; returns its exit code where it lives.

    Args:
      phase, number: where it dies.
      snapshot_steps: between two snapshots of one process.
      arguments: of `pocketllm`.
    """
    due, calls = itertools.count(1), itertools.count(1)
    stand_ins = {name: dying(resolve_name(name), phase, number, calls) for name in CALLS[phase]}
    stand_ins["pocketllm.runtime.commands.train.pauses_of"] = lambda limits: pauses
    for kind in ("journalled", "kept"):
        stand_ins[f"{RUN}.{kind}.snapshot_due"] = lambda *_: next(due) % snapshot_steps == 0
    with ExitStack() as stack:
        for name, stand_in in stand_ins.items():
            stack.enter_context(mock.patch(name, stand_in))
        return cli.main(arguments)


_calls = itertools.count(1)


def pauses(say: Callable[[str], None]) -> dict:
    """Stands for a battery that is now and then too hot; called before each step."""
    if next(_calls) % PAUSE_STEPS == 0:
        say("paused: the battery is too hot")
        paused()
    return {}


def paused() -> None:
    """Called in a pause."""


def _half_a_record(pwrite, handle, record, place):
    pwrite(handle, record[: len(record) // 2], place)


def _half_a_replay(replay, first, second, *rest):
    if isinstance(second, int):  # minibatch_of(training, number)
        return
    replay(first, second[: len(second) // 2], *rest)


def _half_an_array(write_array, member, values, **named):
    member.write(bytes(values.nbytes // 2))


HALVES = {"record": _half_a_record, "replay": _half_a_replay, "snapshot": _half_an_array}

if __name__ == "__main__":
    from pocketllm.benchmarks.torture import killed  # under its own name, which CALLS has

    sys.exit(killed.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
