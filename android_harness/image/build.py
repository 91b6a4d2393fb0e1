"""Assembles the device image: the folder that a phone runs from.

    pocketllm         launcher, a shell script
    lib/              Debian's loader and shared libraries
    python/           bin/python3.11 and its standard library
    site/             wheels, and the modules of PocketLLM
    image.lock.json   the packages it was built from

There are no links, and all files have the same time, so that two builds of one lock file are equal.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.folders import staged

from . import contents
from .lock import DEB, LOCK_NAME, Package, write_lock
from .modules import phone_modules
from .unpack import File, Files, read_package

LAUNCHER = "pocketllm"
# entries of an image's folder; `cache` holds compiled modules after it has run
PARTS = {LAUNCHER, LOCK_NAME, "bin", "lib", "python", "site", "cache"}
MTIME_SECONDS = 1_600_000_000  # of all files; adb sends it with them
MAX_BYTES = 150_000_000
STANDARD_LIBRARY = f"usr/lib/python{contents.PYTHON}/"
INTERPRETER = f"usr/bin/python{contents.PYTHON}"
# Debian's Python reads it at its start, also where it is started without the launcher.
PATH_FILE = f"python/lib/python{contents.PYTHON}/dist-packages/pocketllm.pth"


@dataclass(frozen=True)
class Image:
    """An image that was built: its folder, number of files and their bytes in all."""

    folder: Path
    files: int
    bytes: int


def build(packages: list[Package], cache: Path, folder: Path) -> Image:
    """Builds an image; its folder appears when it is complete.

    Args:
      packages: packages of a lock file, all in the cache.
      cache: folder that `fetch` filled.
      folder: folder to write; an image that is there is replaced.

    Raises:
      InputError: a package is damaged or hostile, or lacks a file that the image needs.
      RunError: the folder cannot be written, or the image is larger than 150 MB.
    """
    return write_image(image_files(packages, cache), packages, folder, MAX_BYTES)


def write_image(files: Files, packages: Sequence[Package], folder: Path, most: int) -> Image:
    """Writes an image's files and its lock file.

    Args:
      files: {path in the image: (contents, executable)}.
      packages: that it was built from.
      folder: folder to write; an image that is there is replaced.
      most: bytes that the files may have.

    Raises:
      RunError: the folder cannot be written, or there are more bytes.
    """
    total = sum(len(data) for data, _ in files.values())
    if total > most:
        raise RunError(f"{folder}: {total:,} bytes, expected {most:,} at most; trim more")
    with staged(folder.absolute()) as beside:
        for name, (data, executable) in files.items():
            _write(beside / name, data, executable)
        write_lock(beside / LOCK_NAME, list(packages))
        _normalise(beside)
    return Image(folder, len(files) + 1, total + (folder / LOCK_NAME).stat().st_size)


def image_files(packages: list[Package], cache: Path) -> Files:
    """Returns {path in the image: (contents, executable)} of all files but the lock file."""
    files = {
        LAUNCHER: ((Path(__file__).parent / "launcher.sh").read_bytes(), True),
        PATH_FILE: (b"../../../../site\n", False),
        **_pocketllm(),
    }
    for package in packages:
        path = cache / package.file
        inside = read_package(package, path)
        part = list(_from_deb(package, inside) if package.kind == DEB else _from_wheel(inside))
        if not part:
            raise InputError(f"{path}: holds nothing of the image; see its lock file")
        for name, file in part:
            if files.get(name, file) != file or name.startswith("site/pocketllm/"):
                raise InputError(f"{path}: {name} is another package's too; remove the file")
            files[name] = file
    names = [f"lib/{name}" for group in contents.DEBIAN_PACKAGES.values() for name in group]
    check_libraries(files, sorted(names))
    return files


def check_libraries(files: Files, names: Iterable[str]) -> None:
    """Raises InputError for the first of these files that an image lacks."""
    for name in names:
        if name not in files:
            raise InputError(f"{name}: in none of the packages; take another lock file")


def libraries(inside: Files, names: Collection[str]) -> Iterator[tuple[str, File]]:
    """Yields (path in the image, file) of those files of a package that have one of these names."""
    for path, file in inside.items():
        if PurePosixPath(path).name in names:
            yield f"lib/{PurePosixPath(path).name}", file


def _from_deb(package, inside):
    yield from libraries(inside, contents.DEBIAN_PACKAGES.get(package.name, ()))
    for name, (data, _) in inside.items():
        if name == INTERPRETER:
            yield f"python/bin/python{contents.PYTHON}", (data, True)
        elif name.startswith(STANDARD_LIBRARY):
            inner = name.removeprefix(STANDARD_LIBRARY)
            if not contents.left_out(inner, contents.STANDARD_LIBRARY_LEFT_OUT):
                yield f"python/lib/python{contents.PYTHON}/{inner}", (data, False)


def _from_wheel(inside):
    for name, file in inside.items():
        if not contents.left_out(name, contents.WHEELS_LEFT_OUT):
            yield f"site/{name}", file


def _pocketllm():
    """Returns the files of PocketLLM: its modules, and the metadata that holds its version."""
    modules = phone_modules()
    files = {f"site/pocketllm/{name}": (path.read_bytes(), False) for name, path in modules.items()}
    version = metadata.version("pocketllm")
    text = f"Metadata-Version: 2.1\nName: pocketllm\nVersion: {version}\n"
    return files | {f"site/pocketllm-{version}.dist-info/METADATA": (text.encode(), False)}


def _write(path, data, executable):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755 if executable else 0o644)


def _normalise(folder):
    """Gives all files and folders the same time, and folders the same mode."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (MTIME_SECONDS, MTIME_SECONDS))
        if path.is_dir():
            path.chmod(0o755)
