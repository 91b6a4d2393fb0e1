"""The user's own apt, for arm64: sources, keys and proxies are theirs, its state is a folder's.

apt-get reads the indexes there and changes nothing of the workstation's.
"""

import re
from pathlib import Path

from ..programs import need, run

SUITE = "/^bookworm(-security|-updates)?$/"  # Debian 12, the last with Python 3.11
TROUBLE = "apt's sources here have no Debian 12 for arm64 (docs/guide/phone.md)"
INDEX_LINE = re.compile(r"^'(?P<archive>[^' ]+)/dists/[^' ]+' ", re.M)


def apt_get(folder: Path) -> list[str]:
    """Returns the command line of an apt-get that knows only arm64, with its state in a folder.

    Raises:
      InputError: apt-get is missing.
    """
    program = need("apt-get", "build on Debian or Ubuntu, or take a cache that was filled there")
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",  # the folder is closed to apt's own user
        "Acquire::Languages": "none",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
    }
    return [program, *(f"-o{name}={value}" for name, value in settings.items())]


def archives(folder: Path) -> list[str]:
    """Returns the addresses that pool paths begin at, of the user's sources; no index is read."""
    lines = run([*apt_get(folder), "update", "--print-uris"], TROUBLE)
    return list(dict.fromkeys(match["archive"] for match in INDEX_LINE.finditer(lines)))


def newest_addresses(folder: Path, names: list[str]) -> str:
    """Returns apt-get's lines of the newest files of these packages, as `--print-uris` has them.

    Raises:
      RunError: an index cannot be read, or lacks a package.
    """
    apt = apt_get(folder)
    run([*apt, "update"], "apt cannot read its indexes")
    release = f"-oAPT::Default-Release={SUITE}"
    return run([*apt, release, "download", "--print-uris", "--", *names], TROUBLE)
