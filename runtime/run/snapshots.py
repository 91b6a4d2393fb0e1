"""Snapshots of what a run's steps change: going on need not begin at the first step.

Of a journalled run they save time and hold nothing that the journal does not. Those of a kept run
have the moments too, and its last steps are taken again from there. One that is damaged, or of
another run, is passed over for the one before.

A snapshot is due when doing the steps since the last one again would take longer than
RECOVERY_SECONDS, or RECOVERY_SHARE of the run so far where that is more: the noise passes of a
journalled run (a third of it or less where replay.py's tiles can do it), the whole steps of a kept
one. So their number grows with the logarithm of the run's length: where a step takes five times its
noise passes, a day's run writes about 20, of the size of the parameters, and ten days' 12 more.
"""

from collections.abc import Callable, Collection
from pathlib import Path

from ..engine.model import Model
from ..errors import InputError, RunError
from ..host.files import NO_SPACE
from ..journal.reader import JOURNAL, read_journal
from .parameters import (
    PARAMETERS,
    Part,
    checksum_of,
    drop_parameters,
    kept_steps,
    load_parameters,
    save_parameters,
)

RECOVERY_SECONDS, RECOVERY_SHARE, KEPT = 120.0, 0.05, 2
Parts = tuple[Part, ...]


def snapshot_due(
    tail_seconds: float, run_seconds: float, recovery_seconds: float = RECOVERY_SECONDS
) -> bool:
    """Whether to take a snapshot.

    Args:
      tail_seconds: that doing the steps since the last snapshot again takes.
      run_seconds: that the whole run took so far.
      recovery_seconds: that doing them again may take in any case.
    """
    return tail_seconds > max(recovery_seconds, RECOVERY_SHARE * run_seconds)


def snapshot_steps(folder: Path, parts: Parts = (PARAMETERS,)) -> list[int]:
    """Returns the steps of which all parts are there, in order."""
    others = [set(kept_steps(folder, part)) for part in parts[1:]]
    return [step for step in kept_steps(folder, parts[0]) if all(step in o for o in others)]


def save_snapshot(
    model: Model,
    folder: Path,
    step: int,
    checksum: int,
    *,
    parts: Parts = (PARAMETERS,),
    spared: Collection[int] = (),
    unsound: Collection[int] = (),
    least: int = 0,
) -> None:
    """Writes what the model holds after `step`, whose record has this checksum; drops others.

    The newest KEPT snapshots stay, and the parameters of the steps that are `spared`. Where that
    has no space, the snapshots before make room, the oldest first. Of a journalled run the newest
    does too: one that stayed for ever would make recovery longer and longer, and the journal holds
    all that it does.

    Args:
      model: holds it.
      folder: the run directory.
      step: the last one taken.
      checksum: of its record.
      parts: of a snapshot; the first is written last, and with it the snapshot counts.
      spared: steps whose parameters are no mere snapshot.
      unsound: steps whose snapshots cannot be used.
      least: number of snapshots that never make room.

    Raises:
      RunError: the disk is full even so.
    """
    before = snapshot_steps(folder, parts)
    while True:
        try:
            for part in reversed(parts):
                save_parameters(model, folder, step, checksum, part=part)
            break
        except RunError as error:
            if len(before) <= least or getattr(error.__cause__, "errno", None) not in NO_SPACE:
                raise
            before = before[1:]
            _drop(folder, parts, before, spared)
    drop_others(folder, parts, spared, unsound)


def drop_others(
    folder: Path, parts: Parts, spared: Collection[int] = (), unsound: Collection[int] = ()
) -> None:
    """Removes all but the newest KEPT snapshots, and the parameters of steps that are spared."""
    sound = [step for step in snapshot_steps(folder, parts) if step not in unsound]
    _drop(folder, parts, sound[-KEPT:], spared)


def restore(
    model: Model,
    folder: Path,
    last: int,
    say: Callable[[str], None] = lambda line: None,
    *,
    parts: Parts = (PARAMETERS,),
) -> int:
    """Brings the newest sound snapshot in that is not beyond step `last`; returns its step.

    Without any, the model is where the run begins, as before, and 0 is returned.

    Args:
      model: as the run begins.
      folder: the run directory.
      last: a step of its journal, or 0.
      say: told of a snapshot that cannot be used.
      parts: of a snapshot.
    """
    checksums = read_journal(Path(folder) / JOURNAL).checksums
    is_partly_loaded = False
    for step in reversed(snapshot_steps(folder, parts)):
        if not 0 < step <= last:
            continue
        if any(checksum_of(folder, step, part) != checksums[step] for part in parts):
            say(f"{folder}: the snapshot of step {step} is damaged or of another run, passed over")
            continue
        try:
            for part in parts:
                load_parameters(model, folder, step, part)
            return step
        except InputError as error:
            say(f"{str(error).split(';')[0]}, passed over")
            is_partly_loaded = True
    if is_partly_loaded:  # some slices of it may have come in
        for part in parts:
            part.reset(model)
    return 0


def _drop(folder, parts, snapshots, spared):
    """Removes all files but those of some snapshots, and parameters that are spared."""
    for part in parts:
        drop_parameters(folder, {*snapshots, *(spared if part is PARAMETERS else ())}, part)
