"""A record of what a program writes in a folder: every write, flush and change of a name, in order.

power_loss.py makes of it what a power failure may leave at any moment.
"""

import builtins
import io
import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

WRITING = os.O_WRONLY | os.O_RDWR


class Named(NamedTuple):
    """A file or folder got a name in a folder; `before` is the (folder, name) that it had."""

    folder: int
    name: str
    inode: int
    before: tuple[int, str] | None = None
    is_folder: bool = False


class Unnamed(NamedTuple):
    """A name was removed."""

    folder: int
    name: str


class Written(NamedTuple):
    """Bytes were written to a file."""

    inode: int
    place: int
    data: bytes


class Cut(NamedTuple):
    """A file got another size."""

    inode: int
    size: int


class Synced(NamedTuple):
    """A file's bytes, or a folder's names, were flushed."""

    inode: int


Event = Named | Unnamed | Written | Cut | Synced
ROOT = 0


class Recorder:
    """The events in one folder; nothing outside it is recorded.

    Attributes:
      events: so far; the first ones made, and flushed, what was there before.
      begun: number of those.
    """

    def __init__(self, root: Path):
        """Takes an existing folder."""
        self.root, self.events = Path(root).resolve(), []
        self._inodes = {_key(os.stat(self.root)): ROOT}  # (device, inode) -> number of ours
        for folder, folders, files in os.walk(self.root):
            here = self._inodes[_key(os.stat(folder))]
            for name in (*folders, *files):
                path = Path(folder) / name
                self.note_new((here, name), path.stat(), name in folders)
                if name in files:
                    number = self._inodes[_key(path.stat())]
                    self.events += [Written(number, 0, path.read_bytes()), Synced(number)]
            self.events.append(Synced(here))
        self.begun = len(self.events)

    def inode(self, handle: int) -> int | None:
        """Returns our number of an open file or folder, None outside the root."""
        return self._inodes.get(_key(os.fstat(handle)))

    def note(self, handle: int, event: type[Written | Cut | Synced], *fields) -> None:
        """Records an event of an open file or folder, nothing outside the root."""
        number = self.inode(handle)
        if number is not None:
            self.events.append(event(number, *fields))

    def note_written(self, handle: int, place: int, data: bytes) -> None:
        """Records bytes that were written to an open file."""
        if data:
            self.note(handle, Written, place, data)

    def place(self, path, base: int | None = None) -> tuple[int, str] | None:
        """Returns the (folder, name) of a path, None outside the root."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        if base is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{base}"), text)
        parent, name = os.path.split(os.path.abspath(text))
        try:
            folder = self._inodes.get(_key(os.stat(parent)))
        except OSError:
            return None
        return None if folder is None else (folder, name)

    def note_new(self, place: tuple[int, str], status: os.stat_result, is_folder: bool) -> None:
        """Records that a name was made."""
        number = max(self._inodes.values()) + 1
        self._inodes[_key(status)] = number
        self.events.append(Named(*place, number, is_folder=is_folder))

    def note_moved(self, before: tuple[int, str], place: tuple[int, str], path) -> None:
        """Records that a name was changed."""
        self.events.append(Named(*place, self._inodes[_key(os.stat(path))], before))


class _File(io.FileIO):
    """A file open for writing, whose writes are recorded."""

    def __init__(self, path, mode, recorder: Recorder):
        super().__init__(path, mode)
        self._recorder, self._appends = recorder, "a" in mode

    def write(self, data) -> int:
        place = os.fstat(self.fileno()).st_size if self._appends else self.tell()
        count = super().write(data) or 0
        self._recorder.note_written(self.fileno(), place, bytes(data)[:count])
        return count

    def truncate(self, size=None) -> int:
        size = super().truncate(size)
        self._recorder.note(self.fileno(), Cut, size)
        return size


@contextmanager
def recording(root: Path, fsync: Callable[[int], None] = lambda handle: None) -> Iterator[Recorder]:
    """Records what this process writes in a folder; `fsync` is called for each flush."""
    recorder = Recorder(root)
    names = {
        "open": _open_handle, "pwrite": _pwrite, "write": _write, "ftruncate": _ftruncate,
        "replace": _move, "rename": _move, "unlink": _remove, "remove": _remove, "rmdir": _remove,
        "mkdir": _mkdir,
    }  # fmt: skip
    with ExitStack() as stack:
        patched = {}
        for name, wrapped in names.items():
            patched[name] = wrapped(recorder, getattr(os, name))
        for name in ("fsync", "fdatasync"):
            patched[name] = _sync(recorder, fsync)
        for name, function in patched.items():
            stack.enter_context(mock.patch.object(os, name, function))
        opener = _open_file(recorder, io.open)
        for module in (builtins, io):
            stack.enter_context(mock.patch.object(module, "open", opener))
        accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps its own
        for name, function in ({**patched, "open": opener} if accessor else {}).items():
            if hasattr(accessor, name):
                stack.enter_context(mock.patch.object(accessor, name, staticmethod(function)))
        yield recorder


def _open_file(recorder, real):
    def opened(file, mode="r", buffering=-1, *rest, **named):
        place = recorder.place(file) if set(mode) & set("wax+") else None
        if place is None:
            return real(file, mode, buffering, *rest, **named)
        is_new = not os.path.lexists(file)
        raw = _File(file, mode.replace("b", "").replace("t", ""), recorder)
        if is_new:
            recorder.note_new(place, os.fstat(raw.fileno()), False)
        elif "w" in mode:
            recorder.note(raw.fileno(), Cut, 0)
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, *rest, **named)

    return opened


def _open_handle(recorder, real):
    def opened(path, flags, mode=0o777, *, dir_fd=None):
        place = recorder.place(path, dir_fd) if flags & (WRITING | os.O_CREAT) else None
        is_new = place is not None and not os.path.lexists(path)
        handle = real(path, flags, mode, dir_fd=dir_fd)
        if is_new and place:
            recorder.note_new(place, os.fstat(handle), False)
        elif place and flags & os.O_TRUNC:
            recorder.note(handle, Cut, 0)
        return handle

    return opened


def _pwrite(recorder, real):
    def pwrite(handle, data, place):
        count = real(handle, data, place)
        recorder.note_written(handle, place, bytes(data)[:count])
        return count

    return pwrite


def _write(recorder, real):
    def write(handle, data):
        place = os.lseek(handle, 0, os.SEEK_CUR) if recorder.inode(handle) is not None else 0
        count = real(handle, data)
        recorder.note_written(handle, place, bytes(data)[:count])
        return count

    return write


def _ftruncate(recorder, real):
    def ftruncate(handle, size):
        real(handle, size)
        recorder.note(handle, Cut, size)

    return ftruncate


def _sync(recorder, fsync):
    def sync(handle):
        fsync(handle)
        recorder.note(handle if isinstance(handle, int) else handle.fileno(), Synced)

    return sync


def _move(recorder, real):
    def move(source, target):
        before, place = recorder.place(source), recorder.place(target)
        real(source, target)
        if before and place:
            recorder.note_moved(before, place, target)

    return move


def _remove(recorder, real):
    def remove(path, *, dir_fd=None):
        place = recorder.place(path, dir_fd)
        real(path, dir_fd=dir_fd)
        if place:
            recorder.events.append(Unnamed(*place))

    return remove


def _mkdir(recorder, real):
    def mkdir(path, mode=0o777, *, dir_fd=None):
        place = recorder.place(path, dir_fd)
        real(path, mode, dir_fd=dir_fd)
        if place:
            recorder.note_new(place, os.stat(path), True)

    return mkdir


def _key(status):
    return status.st_dev, status.st_ino
