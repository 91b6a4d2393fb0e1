"""Assembles the folder that a phone runs from: /data/local/tmp/pocketllm.

    pocketllm         launcher, a shell script
    lib/              Debian's loader and shared libraries
    python/           bin/python3.11 and its standard library
    site/             wheels, and pocketllm.runtime
    image.lock.json   what it was built from

No links and no times of the workstation's, so that two builds of one lock file are the same.
"""

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

import pocketllm.benchmarks
import pocketllm.runtime
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.folders import staged

from . import contents
from .lock import DEB, LOCK_NAME, Package, write_lock
from .unpack import Files, read_deb, read_wheel

LAUNCHER = "pocketllm"
# all that stands in its folder; `cache` after it has run there
PARTS = {LAUNCHER, LOCK_NAME, "lib", "python", "site", "cache"}
MTIME_SECONDS = 1_600_000_000  # one for all files; adb carries it along
MAX_BYTES = 150_000_000
STANDARD_LIBRARY = f"usr/lib/python{contents.PYTHON}/"
INTERPRETER = f"usr/bin/python{contents.PYTHON}"


@dataclass(frozen=True)
class Image:
    """A folder that was built: its number of files and their sizes' sum."""

    folder: Path
    files: int
    bytes: int


def build(packages: list[Package], cache: Path, folder: Path) -> Image:
    """Builds an image in a folder of its own, which appears when it is complete.

    Args:
      packages: of the lock file; each is in the cache.
      cache: from `image_fetch.fetch`.
      folder: to be made; what stands there is replaced.

    Raises:
      InputError: a package is damaged, or misses what is taken from it.
      RunError: the folder cannot be written, or comes out larger than 150 MB.
    """
    files = image_files(packages, cache)
    total = sum(len(data) for data, _ in files.values())
    if total > MAX_BYTES:
        raise RunError(f"{folder}: {total:,} bytes, expected {MAX_BYTES:,} at most; trim more")
    with staged(folder.absolute()) as beside:
        for name, (data, runs) in files.items():
            _write(beside / name, data, runs)
        write_lock(beside / LOCK_NAME, packages)
        _same_times(beside)
    return Image(folder, len(files) + 1, total + (folder / LOCK_NAME).stat().st_size)


def image_files(packages: list[Package], cache: Path) -> Files:
    """Returns {path in the image: (contents, whether it can be run)}, all but the lock file."""
    files = {LAUNCHER: ((Path(__file__).parent / "launcher.sh").read_bytes(), True)}
    for package in packages:
        path = cache / package.file
        taken = _from_deb(package, path) if package.kind == DEB else _from_wheel(path)
        if not taken:
            raise InputError(f"{path}: holds nothing of the image; see its lock file")
        files |= taken
    wanted = {f"lib/{name}" for names in contents.DEBIAN_PACKAGES.values() for name in names}
    missing = sorted(wanted - set(files))
    if missing:
        raise InputError(f"{missing[0]}: in none of the packages; take another lock file")
    return files | _ours()


def _from_deb(package, path):
    taken = {}
    libraries = contents.DEBIAN_PACKAGES.get(package.name, ())
    for name, (data, runs) in read_deb(path).items():
        if PurePosixPath(name).name in libraries:
            taken[f"lib/{PurePosixPath(name).name}"] = data, runs
        elif name == INTERPRETER:
            taken[f"python/bin/python{contents.PYTHON}"] = data, True
        elif name.startswith(STANDARD_LIBRARY):
            inner = name.removeprefix(STANDARD_LIBRARY)
            if not contents.left_out(inner, contents.STANDARD_LIBRARY_LEFT_OUT):
                taken[f"python/lib/python{contents.PYTHON}/{inner}"] = data, False
    return taken


def _from_wheel(path):
    return {
        f"site/{name}": held
        for name, held in read_wheel(path).items()
        if not contents.left_out(name, contents.WHEELS_LEFT_OUT)
    }


def _ours():
    """Returns the runtime, the bench's side of it, and what tells a distribution's version."""
    runtime, benchmarks = (
        Path(package.__file__).parent for package in (pocketllm.runtime, pocketllm.benchmarks)
    )
    modules = [*_modules(runtime), *(benchmarks / name for name in contents.BENCHMARKS)]
    files = {_in_site(path): (path.read_bytes(), False) for path in modules}
    version = metadata.version("pocketllm")
    told = f"Metadata-Version: 2.1\nName: pocketllm\nVersion: {version}\n".encode()
    return files | {f"site/pocketllm-{version}.dist-info/METADATA": (told, False)}


def _modules(folder):
    return sorted(folder.rglob("*.py"))


def _in_site(path):
    """Returns where the image holds a module, sub-packages as they are."""
    top = Path(pocketllm.runtime.__file__).parents[1]
    return f"site/pocketllm/{path.relative_to(top).as_posix()}"


def _write(path, data, runs):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755 if runs else 0o644)


def _same_times(folder):
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (MTIME_SECONDS, MTIME_SECONDS))
        if path.is_dir():
            path.chmod(0o755)
