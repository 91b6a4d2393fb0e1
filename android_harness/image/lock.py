"""The lock file of a device image: Debian's arm64 packages and aarch64 wheels, by sha256.

The lock file is JSON: {"format": 2, "packages": [{kind, name, version, file, sha256, path, bytes,
unpacked}]}. It names no host: apt and pip know where packages are.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json, write_json
from pocketllm.runtime.host.typed_json import typed

FORMAT = 2
LOCK_NAME = "image.lock.json"
SHIPPED_LOCK = Path(__file__).parent / LOCK_NAME
DEB, WHEEL = "deb", "wheel"
REMEDY = "leave out --lock, or make one with --refresh"
MOST_BYTES, MOST_UNPACKED = 200_000_000, 500_000_000  # of one package

# What becomes part of a command or an address, by kind: nothing begins like an option or leaves a
# folder.
SHAPES = {
    DEB: {
        "name": r"[a-z0-9][a-z0-9+.-]*",
        "version": r"[0-9][A-Za-z0-9.+:~-]*",
        "file": r"[a-z0-9][A-Za-z0-9.+:~_-]*\.deb",
        "path": r"pool(/[A-Za-z0-9][A-Za-z0-9.+:~_-]*)+\.deb",
    },
    WHEEL: {
        "name": r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "version": r"[0-9][A-Za-z0-9.+!]*",
        "file": r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl",
        "path": "",
    },
}


@dataclass(frozen=True)
class Package:
    """A package file to fetch.

    Attributes:
      kind: "deb" or "wheel".
      name: name of the Debian package or the Python distribution.
      version: version as the index spells it.
      file: file name in the cache.
      sha256: sha256 of the whole file, in hex.
      path: a Debian package's place below an archive, "pool/…"; "" for a wheel, which pip finds.
      bytes: size of the file; 0 before it is fetched for the first time.
      unpacked: size of the files in it, likewise.
    """

    kind: str
    name: str
    version: str
    file: str
    sha256: str
    path: str
    bytes: int = 0
    unpacked: int = 0


def read_lock(path: Path) -> list[Package]:
    """Reads a lock file.

    Raises:
      InputError: the file is missing, damaged, of another format, or names what is no package.
    """
    lock = read_json(path, REMEDY)
    if lock.get("format") != FORMAT:
        raise InputError(f"{path}: format {lock.get('format')!r}, expected {FORMAT}; {REMEDY}")
    try:
        packages = list(typed(tuple[Package, ...], lock.get("packages"), "packages"))
        for package in packages:
            check_package(package)
        files = [package.file for package in packages]
        if len(set(files)) < len(files):
            raise ValueError("packages: a file is named twice")
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {REMEDY}") from error
    return packages


def check_package(package: Package, measured: bool = True) -> None:
    """Checks that everything of a package is what a package has.

    Args:
      package: from a lock file or an index.
      measured: whether its sizes must be known.

    Raises:
      ValueError: something is not.
    """
    if package.kind not in SHAPES:
        raise ValueError(f"{package.name!r}: kind {package.kind!r}, expected {' or '.join(SHAPES)}")
    shapes = SHAPES[package.kind] | {"sha256": "[0-9a-f]{64}"}
    for field, shape in shapes.items():
        if not re.fullmatch(shape, getattr(package, field)):
            value = getattr(package, field)[:80]
            raise ValueError(
                f"{package.name[:80]!r}: {field} {value!r} is none of a {package.kind}"
            )
    for field, most in (("bytes", MOST_BYTES), ("unpacked", MOST_UNPACKED)):
        size = getattr(package, field)
        if not int(measured) <= size <= most:
            raise ValueError(f"{package.name}: {field} {size:,}, expected {most:,} at most")


def write_lock(path: Path, packages: list[Package]) -> None:
    """Writes a lock file that `read_lock` reads."""
    write_json(path, {"format": FORMAT, "packages": [asdict(package) for package in packages]})
