"""What a power failure may leave of a recorded folder: lost, zeroed and reordered pages.

The model is as harsh as POSIX allows, and as SQLite's crash tests are: of a file that was not
flushed, each page is new, old or zeros, and the size is any that it had; a name that was not
flushed is there or not, whatever the order. A page is written whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .disk import ROOT, Cut, Event, Named, Recorder, Synced, Unnamed, Written

NEWEST = 0.7  # how often a page holds what was written last, at least
PAGES = (32, 64, 512, 4096)  # bytes: small ones give many torn places in a short run


@dataclass
class _File:
    """What is on the disk, and the changes since."""

    flushed: bytes = b""
    pending: list[Written | Cut] = field(default_factory=list)


@dataclass
class _Folder:
    """Names on the disk, and the changes since."""

    flushed: dict[str, int] = field(default_factory=dict)
    pending: list[Named | Unnamed] = field(default_factory=list)


class Disk:
    """A disk at a moment of a recording."""

    def __init__(self, events: Sequence[Event]):
        """Takes the events up to that moment."""
        self._files: dict[int, _File] = {}
        self._folders = {ROOT: _Folder()}
        for event in events:
            self._take(event)

    def flushed(self, path: str) -> bytes:
        """Returns the bytes that were flushed of a file, whatever of its name was; b"" of none."""
        number = ROOT
        for name in Path(path).parts:
            folder = self._folders[number]
            names = _renamed(folder.flushed, folder.pending)
            if name not in names:
                return b""
            number = names[name]
        return self._files[number].flushed

    def write_remains(self, folder: Path, rng: np.random.Generator) -> None:
        """Writes what a power failure leaves, one of many states, into an empty folder."""
        page = int(rng.choice(PAGES))
        images = {number: _image(file, rng, page) for number, file in self._files.items()}
        self._write_folder(ROOT, Path(folder), rng, images)

    def _take(self, event):
        if isinstance(event, Named):
            if event.inode not in self._files and event.inode not in self._folders:
                if event.is_folder:
                    self._folders[event.inode] = _Folder()
                else:
                    self._files[event.inode] = _File()
            self._folders[event.folder].pending.append(event)
        elif isinstance(event, Unnamed):
            self._folders[event.folder].pending.append(event)
        elif isinstance(event, Synced):
            self._sync(event.inode)
        else:
            self._files[event.inode].pending.append(event)

    def _sync(self, number):
        if folder := self._folders.get(number):
            folder.flushed, folder.pending = _renamed(folder.flushed, folder.pending), []
        else:
            file = self._files[number]
            file.flushed, file.pending = _changed(file.flushed, file.pending), []

    def _write_folder(self, number, path, rng, images):
        folder = self._folders[number]
        names = _renamed(folder.flushed, _some(folder.pending, rng))
        for name, inode in names.items():
            if inode in self._folders:
                (path / name).mkdir()
                self._write_folder(inode, path / name, rng, images)
            else:
                (path / name).write_bytes(images[inode])


def _some(pending, rng):
    """Returns all changes, none, the first, or any of them."""
    choice = rng.integers(4)
    if choice < 2:
        return pending if choice else []
    if choice == 2:
        return pending[: rng.integers(len(pending) + 1)]
    return [change for change in pending if rng.integers(2)]


def _renamed(names, changes):
    names = dict(names)
    for change in changes:
        if isinstance(change, Unnamed):
            names.pop(change.name, None)
            continue
        if change.before is not None:
            assert change.before[0] == change.folder, "renamed within its folder"
            names.pop(change.before[1], None)
        names[change.name] = change.inode
    return names


def _changed(data, changes):
    data = bytearray(data)
    for change in changes:
        _change(data, change)
    return bytes(data)


def _change(data, change):
    end = change.size if isinstance(change, Cut) else change.place + len(change.data)
    if end > len(data):
        data.extend(bytes(end - len(data)))
    if isinstance(change, Cut):
        del data[end:]
    else:
        data[change.place : end] = change.data


def _image(file, rng, page):
    """Returns the bytes of a file after the failure."""
    if rng.integers(2):  # in order, as most file systems do
        return _changed(file.flushed, file.pending[: rng.integers(len(file.pending) + 1)])
    data = bytearray(file.flushed)
    versions: dict[int, list[bytes]] = {}  # number of a page -> what it held, oldest first
    sizes = [len(data)]
    for change in file.pending:
        before = bytes(data)
        _change(data, change)
        sizes.append(len(data))
        first = min(len(before), len(data)) if isinstance(change, Cut) else change.place
        last = max(len(before), len(data)) if isinstance(change, Cut) else first + len(change.data)
        for number in range(first // page, -(-last // page)):
            place = slice(number * page, (number + 1) * page)
            versions.setdefault(number, [before[place]]).append(bytes(data[place]))
    size = int(rng.choice(sizes))
    image = bytearray(max([size, *map(len, (file.flushed, data))]))  # zeros where nothing came
    image[: len(file.flushed)] = file.flushed
    for number, contents in versions.items():
        chosen = -1 if rng.random() < NEWEST else rng.integers(len(contents))
        content = contents[chosen].ljust(page, b"\0")
        image[number * page : (number + 1) * page] = content
    return bytes(image[:size].ljust(size, b"\0"))


def moments(recorded: Recorder, name: str) -> list[list[int]]:
    """Returns the numbers of events, those of writes to one file that follow each other together.

    A moment at which the file of this name holds more than one write that was not flushed is there
    three times.
    """
    groups, last, tail = [[recorded.begun]], None, 0
    files = {e.inode for e in recorded.events if isinstance(e, Named) and e.name == name}
    for number, event in enumerate(recorded.events[recorded.begun :], recorded.begun + 1):
        writes = event.inode if isinstance(event, Written) else None
        if writes is None or writes != last:
            groups.append([])
        groups[-1].append(number)
        last = writes
        if writes in files:
            tail += 1
        elif isinstance(event, Synced) and event.inode in files:
            tail = 0
        if tail > 1:
            groups += [[number], [number]]
    return groups
