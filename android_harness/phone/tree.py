"""What a folder on the phone is to hold, and what it holds: files by size and sha256.

The phone's own record is the folder's manifest, a line `SHA256 SIZE PATH` a file. It is removed
before the folder changes and comes back when all of it has arrived, verified: a folder without one
is not used.
"""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.host.files import sha256_of

from .adb import Phone, checked
from .paths import script

MANIFEST = ".manifest"


@dataclass(frozen=True)
class Entry:
    """A file's contents: sha256 in hex, size in bytes."""

    sha256: str
    size: int


def local_tree(files: dict[str, Path]) -> dict[str, Entry]:
    """Returns what these files are, {path in the folder: where it is here} as {path: Entry}."""
    return {
        name: Entry(sha256_of(path), path.stat().st_size) for name, path in sorted(files.items())
    }


def folder_files(folder: Path) -> dict[str, Path]:
    """Returns all files of a folder, by their path in it."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def manifest_text(tree: dict[str, Entry]) -> str:
    """Returns a manifest's contents."""
    lines = (f"{entry.sha256} {entry.size} {name}\n" for name, entry in sorted(tree.items()))
    return "".join(lines)


def read_manifest(text: str) -> dict[str, Entry]:
    """Reads a manifest; an empty text, of a folder that has none, is an empty tree."""
    fields = (line.split(" ", 2) for line in text.splitlines())
    return {name: Entry(sha256, int(size)) for sha256, size, name in fields}


def held_tree(phone: Phone, folder: str) -> dict[str, Entry]:
    """Returns the files of a folder's manifest that are there in their size."""
    cat = script('cd "$folder" 2>/dev/null && cat .manifest 2>/dev/null; true', folder=folder)
    held = read_manifest(checked(phone, cat, folder))
    sizes = sizes_in(phone, folder) if held else {}
    return {name: entry for name, entry in held.items() if sizes.get(name) == entry.size}


def sizes_in(phone: Phone, folder: str) -> dict[str, int]:
    """Returns {path: size} of the files in a folder; empty where there is none."""
    lines = _each_file(phone, folder, "stat -c '%s %n'")
    return {name: int(size) for size, name in lines}


def sums_in(phone: Phone, folder: str) -> dict[str, str]:
    """Returns {path: sha256} of the files in a folder, computed there."""
    return {name.lstrip(): sha256 for sha256, name in _each_file(phone, folder, "sha256sum")}


def _each_file(phone, folder, program):
    find = f'cd "$folder" 2>/dev/null || exit 0; find . -type f -exec {program} {{}} +'
    lines = checked(phone, script(find, folder=folder), folder).splitlines()
    for line in lines:
        first, _, name = line.partition(" ")
        yield first, name.strip(" ").removeprefix("./")
