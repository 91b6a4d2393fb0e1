"""A folder that appears whole, by rename, or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketllm.runtime.errors import RunError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Gives a folder beside `out` that becomes `out` when the block ends well, and else goes.

    Made first: that nothing can be written there is said before minutes of work.

    Raises:
      RunError: the disk is full, or `out` cannot be written.
    """
    beside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        yield beside
        _put_in_place(beside, out)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "check the folder"
        raise RunError(f"{out}: cannot be written: {error.strerror}; {remedy}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put_in_place(beside, out):
    """Renames the finished bundle to `out`; a bundle it replaces goes only then."""
    replaced = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    if out.exists():
        os.replace(out, replaced)
    os.replace(beside, out)
    if replaced.is_dir():
        shutil.rmtree(replaced)
    else:
        replaced.unlink(missing_ok=True)
