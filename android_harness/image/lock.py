"""The lock file of a device image: Debian's arm64 packages and aarch64 wheels, by sha256.

The lock file is JSON: {"format": 1, "packages": [{kind, name, version, file, sha256, url}]}.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json, write_json
from pocketllm.runtime.host.typed_json import typed

FORMAT = 1
LOCK_NAME = "image.lock.json"
SHIPPED_LOCK = Path(__file__).parent / LOCK_NAME
DEB, WHEEL = "deb", "wheel"
REMEDY = "leave out --lock, or make one with --refresh"


@dataclass(frozen=True)
class Package:
    """A package file to fetch.

    Attributes:
      kind: "deb" or "wheel".
      name: name of the Debian package or the Python distribution.
      version: version as the index spells it.
      file: file name in the cache.
      sha256: sha256 of the whole file, in hex.
      url: Debian's address of the file; "" for a wheel, which pip's index finds.
    """

    kind: str
    name: str
    version: str
    file: str
    sha256: str
    url: str


def read_lock(path: Path) -> list[Package]:
    """Reads a lock file.

    Raises:
      InputError: the file is missing, damaged or of another format.
    """
    lock = read_json(path, REMEDY)
    if lock.get("format") != FORMAT:
        raise InputError(f"{path}: format {lock.get('format')!r}, expected {FORMAT}; {REMEDY}")
    try:
        packages = list(typed(tuple[Package, ...], lock.get("packages"), "packages"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {REMEDY}") from error
    for package in packages:
        if package.kind not in (DEB, WHEEL) or Path(package.file).name != package.file:
            raise InputError(f"{path}: {package.name}: kind or file name is wrong; {REMEDY}")
    return packages


def write_lock(path: Path, packages: list[Package]) -> None:
    """Writes a lock file that `read_lock` reads."""
    write_json(path, {"format": FORMAT, "packages": [asdict(package) for package in packages]})
