"""Trees: the files of a folder by size and sha256, here and on the phone.

On the phone a tree is stored in the folder's manifest, one line `SHA256 SIZE PATH` a file. A push
removes the manifest before it changes the folder, and writes it again when all files are there and
verified: a folder without a manifest is not used.
"""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.host.files import sha256_of

from .adb import Phone, check_output
from .paths import script

MANIFEST = ".manifest"
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Entry:
    """A file's contents: sha256 in hex, size in bytes."""

    sha256: str
    size: int


def local_tree(files: dict[str, Path]) -> dict[str, Entry]:
    """Returns the tree of {path in the folder: file here}."""
    return {
        name: Entry(sha256_of(path), path.stat().st_size) for name, path in sorted(files.items())
    }


def folder_files(folder: Path) -> dict[str, Path]:
    """Returns {path in the folder: file} of all files of a folder here."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def manifest_text(tree: dict[str, Entry]) -> str:
    """Returns the manifest of a tree."""
    lines = (f"{entry.sha256} {entry.size} {name}\n" for name, entry in sorted(tree.items()))
    return "".join(lines)


def read_manifest(text: str) -> dict[str, Entry]:
    """Returns the tree of a manifest; "" gives an empty tree."""
    fields = (line.split(" ", 2) for line in text.splitlines())
    return {name: Entry(sha256, int(size)) for sha256, size, name in fields}


def remote_tree(phone: Phone, folder: str) -> dict[str, Entry]:
    """Returns the tree of a folder on the phone: of its manifest, the files with the right size."""
    cat = script('cd "$folder" 2>/dev/null && cat .manifest 2>/dev/null; true', folder=folder)
    manifest = read_manifest(check_output(phone, cat, folder))
    sizes = sizes_in(phone, folder) if manifest else {}
    return {name: entry for name, entry in manifest.items() if sizes.get(name) == entry.size}


def sizes_in(phone: Phone, folder: str) -> dict[str, int]:
    """Returns {path: bytes} of the files in a folder on the phone; {} if there is no folder."""
    lines = _each_file(phone, folder, "stat -c '%s %n'")
    return {name: int(size) for size, name in lines if size.isdecimal()}


def sums_in(phone: Phone, folder: str) -> dict[str, str]:
    """Returns {path: sha256} of the files in a folder on the phone, computed there."""
    lines = _each_file(phone, folder, "sha256sum")
    return {name.lstrip(): sha256 for sha256, name in lines if len(sha256) == SHA256_DIGITS}


def _each_file(phone, folder, program):
    """Yields (first word, path) of what a program prints of each file, one line a file.

    A phone's programs may print complaints of the phone between them.
    """
    find = f'cd "$folder" 2>/dev/null || exit 0; find . -type f -exec {program} {{}} +'
    lines = check_output(phone, script(find, folder=folder), folder).splitlines()
    for line in lines:
        first, _, name = line.partition(" ")
        yield first, name.strip(" ").removeprefix("./")
