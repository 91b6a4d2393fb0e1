"""The lines of a run: steps in `metrics.jsonl`, dev sets in `evaluations.jsonl`.

JSON writes floats so that they read back as the same bits.
"""

import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError, RunError
from ..host.memory import Peak
from ..host.typed_json import typed
from ..optim.interface import Step
from .flushed import EVALUATIONS, METRICS, flushed_bytes

CHECKED = re.compile(rb'(.*), "checksum": ([0-9]+)}')
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Evaluated:
    """A dev evaluation after `step` (0: before the first), on the data of this sha256.

    `metrics` are the task's own, beside the accuracy; lines of earlier versions have none. Learnt
    text has no accuracy; its `loss` is the mean over `tokens` learnt tokens.
    """

    step: int
    accuracy: float | None
    loss: float
    examples: int
    data_sha256: str
    metrics: dict = field(default_factory=dict)
    tokens: int | None = None


@dataclass(frozen=True)
class _Number:
    """Of a step's line, whatever the optimizer: which step it is."""

    step: int


@dataclass(frozen=True)
class _Seconds:
    """Of a step's line, whatever the optimizer: how long the step took."""

    seconds: float


def read_steps(folder: Path, kind: type, gaps: bool = False) -> list:
    """Reads `metrics.jsonl`; what was cut short, or lost behind the last flush, is left out.

    Args:
      folder: the run directory.
      kind: the dataclass that a line becomes; further fields of the line are left out.
      gaps: whether lines may be missing; after a power failure the journal may hold more steps.
    """
    path = Path(folder) / METRICS
    steps = []
    for number, (line, is_flushed) in enumerate(_whole_lines(path), 1):
        try:
            step = _step(kind, line)
        except ValueError as error:
            if not is_flushed:
                break
            raise InputError(
                f"{path}: line {number} is damaged ({error}); it cannot be used"
            ) from error
        expected = steps[-1].step + 1 if steps else 1
        if step.step < expected or (step.step > expected and not gaps):
            raise InputError(f"{path}: line {number} holds step {step.step}, expected {expected}")
        steps.append(step)
    return steps


def cut_torn_lines(folder: Path, kind: type) -> None:
    """Cuts off what stands behind the last whole lines, before more are appended.

    A line that was not flushed and is damaged was lost in a power failure, with all behind it.

    Args:
      folder: the run directory.
      kind: the dataclass that a line of `metrics.jsonl` becomes.
    """
    for name, parsed in ((METRICS, partial(_step, kind)), (EVALUATIONS, _evaluated)):
        path, size = Path(folder) / name, 0
        if not path.exists():
            continue
        for line, is_flushed in _whole_lines(path):
            try:
                parsed(line)
            except ValueError:
                if not is_flushed:
                    break
            size += len(line) + 1
        _cut(path, size)


def seconds_so_far(folder: Path) -> float:
    """Returns what the steps of `metrics.jsonl` took together; a damaged line counts nothing."""
    path, total = Path(folder) / METRICS, 0.0
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError):
            seconds = _record(_Seconds, line).seconds
            total += seconds if 0 <= seconds < math.inf else 0.0
    return total


def cut_lines_beyond(folder: Path, last: int) -> None:
    """Cuts off the last lines of `metrics.jsonl` as long as they are of steps beyond `last`."""
    path = Path(folder) / METRICS
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = len(lines)
    while kept and _step_of(lines[kept - 1]) > last:
        kept -= 1
    _cut(path, sum(map(len, lines[:kept])))


def append_step(
    folder: Path, step: Step, seconds: float, peak: Peak, further: Mapping[str, object] = {}
) -> None:
    """Adds a step to `metrics.jsonl`.

    Args:
      folder: the run directory.
      step: a dataclass of plain values; its fields are the line's.
      seconds: that the step took.
      peak: of the process's memory so far.
      further: more fields of the line.
    """
    cost = {
        "seconds": round(seconds, 6),
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }
    _append(Path(folder) / METRICS, json.dumps({**further, **known_values(step), **cost}))


def append_evaluation(folder: Path, record: Evaluated) -> None:
    """Adds a dev evaluation to `evaluations.jsonl`, with a CRC-32 of its own."""
    text = json.dumps(known_values(record))
    checksum = zlib.crc32(text.encode())
    _append(Path(folder) / EVALUATIONS, f'{text[:-1]}, "checksum": {checksum}}}')


def known_values(record: Evaluated | Step) -> dict:
    """Returns what a line holds of an evaluation or a step: no field that is None."""
    return {name: value for name, value in asdict(record).items() if value is not None}


def read_evaluations(folder: Path, data_sha256: str | None = None) -> list[Evaluated]:
    """Reads the evaluations on one dev set, in order of steps; empty where there are none.

    Args:
      folder: the run directory.
      data_sha256: of the dev set; by default the one that was evaluated last.

    Raises:
      InputError: a line was altered; those of earlier versions have no checksum and are believed.
    """
    path = Path(folder) / EVALUATIONS
    records = []
    for number, (line, is_flushed) in enumerate(_whole_lines(path), 1):
        try:
            records.append(_evaluated(line))
        except ValueError as error:
            if not is_flushed:
                break
            raise InputError(
                f"{path}: line {number} is damaged ({error}); take it out, and a journalled run "
                "that goes on evaluates that step again"
            ) from error
    wanted = data_sha256 or (records[-1].data_sha256 if records else None)
    by_step = {record.step: record for record in records if record.data_sha256 == wanted}
    return [by_step[step] for step in sorted(by_step)]


def best_step(folder: Path, last: int) -> int:
    """Returns the step of the best dev evaluation, `last` without a dev set."""
    best = best_evaluation([line for line in read_evaluations(folder) if line.step <= last])
    return best.step if best else last


def best_evaluation(evaluations: Sequence[Evaluated]) -> Evaluated | None:
    """Returns the one of highest accuracy, then lowest loss, then the earliest; None of none.

    Learnt text has no accuracy: there it is the one of lowest loss.
    """
    return max(evaluations, key=lambda r: (r.accuracy or 0.0, -r.loss, -r.step), default=None)


def _whole_lines(path):
    """Yields (line, whether it is known to be on the disk) of a file, without a torn end."""
    data = path.read_bytes() if path.exists() else b""
    flushed, end = flushed_bytes(path.parent, path.name), 0
    for line in data.split(b"\n")[:-1]:
        end += len(line) + 1
        yield line, end <= flushed


def _evaluated(line):
    """Returns the evaluation of a line; raises ValueError of a damaged one."""
    checked = CHECKED.fullmatch(line)
    if checked and zlib.crc32(checked[1] + b"}") != int(checked[2]):
        raise ValueError("its checksum is another")
    return _record(Evaluated, line)


def _step(kind, line):
    """Returns the step of a line; raises ValueError of a damaged one."""
    step = _record(kind, line)
    if not INT32.min <= getattr(step, "seed", 0) <= INT32.max:
        raise ValueError(f"seed is {step.seed!r}, expected int32")
    return step


def _step_of(line):
    """Returns the step of a line of `metrics.jsonl`; one that cannot be read is beyond any."""
    try:
        return _record(_Number, line).step
    except ValueError:
        return math.inf


def _record(kind, line):
    """Reads one line of JSON as a dataclass; raises ValueError of whatever is something else."""
    try:
        return typed(kind, json.loads(line), further=True)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _cut(path, size):
    """Cuts a file to a size that it may have already."""
    if size < path.stat().st_size:
        with open(path, "r+b") as file:
            file.truncate(size)


def _append(path, line):
    """Appends a line, or nothing where it has no place."""
    data = memoryview(f"{line}\n".encode())
    try:
        with open(path, "ab", buffering=0) as file:
            size, written = os.fstat(file.fileno()).st_size, 0
            try:
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror}; the steps before are kept, free some "
            "space and run the same command again: it goes on, or says why it cannot"
        ) from error
