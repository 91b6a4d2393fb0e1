"""Snapshots of a journalled run's parameters: going on need not begin at the first step.

They save time and hold nothing that the journal does not: one that is damaged, or of another run,
is passed over. A snapshot is due when the noise passes since the last one took longer than
RECOVERY_SECONDS, or RECOVERY_SHARE of the run so far where that is more; doing the steps again
takes no longer, and a third of it or less where replay.py's tiles can do it. So their number
grows with the logarithm of the run's length: where a step takes five times its noise passes, a
day's run writes about 20, of the size of the parameters, and ten days' 12 more.
"""

from collections.abc import Callable
from pathlib import Path

from ..engine.model import Model
from ..errors import InputError, RunError
from ..host.files import NO_SPACE
from ..journal.reader import JOURNAL, read_journal
from .parameters import checksum_of, drop_parameters, kept_steps, load_parameters, save_parameters

RECOVERY_SECONDS, RECOVERY_SHARE, KEPT = 120.0, 0.05, 2


def snapshot_due(
    tail_seconds: float, run_seconds: float, recovery_seconds: float = RECOVERY_SECONDS
) -> bool:
    """Whether to take a snapshot.

    Args:
      tail_seconds: that the noise passes since the last snapshot took.
      run_seconds: that the whole run took so far.
      recovery_seconds: that doing them again may take in any case.
    """
    return tail_seconds > max(recovery_seconds, RECOVERY_SHARE * run_seconds)


def save_snapshot(model: Model, folder: Path, step: int, checksum: int) -> None:
    """Writes the parameters after `step`, whose record has this checksum; the newest KEPT stay.

    Where that has no space, those before make room, the oldest first and the newest too: one that
    stayed for ever would make recovery longer and longer, and the journal holds all that it does.

    Raises:
      RunError: the disk is full even so.
    """
    before = kept_steps(folder)
    while True:
        try:
            save_parameters(model, folder, step, checksum)
            break
        except RunError as error:
            if not before or getattr(error.__cause__, "errno", None) not in NO_SPACE:
                raise
            before = before[1:]
            drop_parameters(folder, but=before)
    drop_parameters(folder, but=kept_steps(folder)[-KEPT:])


def restore(
    model: Model, folder: Path, last: int, say: Callable[[str], None] = lambda line: None
) -> int:
    """Brings the newest sound snapshot in that is not beyond step `last`; returns its step.

    Without any, the model is at its initial values, as before, and 0 is returned.

    Args:
      model: at its initial values.
      folder: the run directory.
      last: a step of its journal, or 0.
      say: told of a snapshot that cannot be used.
    """
    checksums = read_journal(Path(folder) / JOURNAL).checksums
    is_partly_loaded = False
    for step in reversed(kept_steps(folder)):
        if not 0 < step <= last:
            continue
        if checksum_of(folder, step) != checksums[step]:
            say(f"{folder}: the snapshot of step {step} is damaged or of another run, passed over")
            continue
        try:
            load_parameters(model, folder, step)
            return step
        except InputError as error:
            say(f"{str(error).split(';')[0]}, passed over")
            is_partly_loaded = True
    if is_partly_loaded:  # some slices of it may have come in
        model.initialize()
    return 0
