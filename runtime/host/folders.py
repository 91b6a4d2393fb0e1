"""A folder that appears whole, by rename, or not at all; the user's folders of what was fetched."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import contract
from ..errors import InputError, RunError
from .files import NO_SPACE, make_folders, sync_folder, sync_tree
from .partials import partial_path, replaced_path, sweep, sweep_beside, under_way, writers


def cache_folder(name: str) -> Path:
    """Returns the user's folder for one kind of what can be fetched again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pocketllm" / name


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yields a folder beside `out` that becomes `out` when the block ends well, else is removed.

    It is made at once, so that a folder that cannot be written fails before minutes of work.

    Args:
      out: an absolute path; a folder there is replaced, see `check_replaceable`.

    Raises:
      RunError: the disk is full, or `out` cannot be written.
    """
    sweep_beside(out)
    beside = partial_path(out)
    try:
        make_folders(out.parent)
        beside.mkdir()
        with under_way(beside):
            yield beside
            sync_tree(beside)
            _put_in_place(beside, out)
    except OSError as error:
        remedy = "free some space" if error.errno in NO_SPACE else "check the folder"
        raise RunError(f"{out}: cannot be written: {error.strerror}; {remedy}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_replaceable(
    out: Path,
    force: bool,
    belongs: Callable[[str], bool] = contract.BUNDLE_FILES.__contains__,
    what: str = "a bundle",
) -> None:
    """Raises InputError unless `out` is free, or with `force` an empty folder or a bundle.

    A folder that holds anything a bundle does not is never replaced: --force must not cost data.

    Args:
      out: the folder to be written.
      force: whether an existing one is replaced.
      belongs: tells whether a file of this name is part of a bundle, or of another result.
      what: names the result, for the error message.
    """
    sweep_beside(out)
    if not out.exists():
        return
    if not force:
        raise InputError(f"{out}: exists already; choose another --out or give --force")
    if out.is_dir():
        sweep(out, belongs)
        _check_unwritten(out, belongs)
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    foreign = sorted(name for name in names if not belongs(name))
    if foreign:
        raise InputError(
            f"{out}: holds {foreign[0]!r}, which is no part of {what}, so --force does not "
            "replace it; choose another --out"
        )


def _check_unwritten(out, belongs):
    """Raises InputError where a process writes a part of the folder at the moment."""
    for name, process in writers(out).items():
        if belongs(name):
            raise InputError(
                f"{out}: process {process} writes {name!r} there; wait for that, then run the "
                "same command again"
            )


def _put_in_place(beside, out):
    """Renames the finished folder to `out`; a folder that it replaces is removed after that."""
    replaced = replaced_path(out)
    if not out.exists():
        os.replace(beside, out)
        sync_folder(out.parent)
        return
    with under_way(out):  # its lock goes with it
        os.replace(out, replaced)
        try:
            os.replace(beside, out)
        except OSError:
            os.replace(replaced, out)
            raise
    sync_folder(out.parent)
    shutil.rmtree(replaced)
