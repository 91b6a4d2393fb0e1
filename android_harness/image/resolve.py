"""Finds the newest packages in Debian's and pip's indexes, for `--refresh`.

apt-get and pip read the indexes; neither changes the workstation's own state.
"""

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from pocketllm.runtime.errors import RunError

from ..programs import need, run
from .contents import DEBIAN_PACKAGES, ENGINE_REQUIREMENTS, PYTHON, REQUIREMENTS
from .lock import DEB, WHEEL, Package

MIRROR, SUITE = "http://deb.debian.org/debian", "bookworm"  # the last with Python 3.11
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The newest tags first: glibc 2.36 runs wheels made for any of these.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]
WHEEL_TAGS = [
    "--only-binary=:all:",
    f"--python-version={PYTHON}",
    *(f"--platform={platform}" for platform in (*PLATFORMS, "manylinux2014_aarch64")),
]
URI_LINE = re.compile(r"^'(?P<url>\S+)' (?P<file>\S+) \d+ SHA256:(?P<sha256>\w{64})$")


def newest_packages() -> list[Package]:
    """Returns the newest packages of both indexes that an image is built from.

    Raises:
      InputError: apt-get is missing.
      RunError: an index cannot be read, or lacks a package.
    """
    return [*_debian_packages(), *_wheels()]


def _debian_packages():
    apt = need("apt-get", "build on Debian or Ubuntu, or take a lock file that was made there")
    if not KEYRING.exists():
        raise RunError(f"{KEYRING}: missing; install the package debian-archive-keyring")
    with TemporaryDirectory(prefix="pocketllm-apt-") as folder:
        options = [f"-o{name}={value}" for name, value in _private_apt(Path(folder)).items()]
        run([apt, *options, "update"], f"{MIRROR}: its index cannot be read")
        download = [apt, *options, "download", "--print-uris", *DEBIAN_PACKAGES]
        lines = run(download, f"{MIRROR}: {SUITE} does not have what is needed").splitlines()
    matches = [match for match in map(URI_LINE.match, lines) if match]
    if len(matches) != len(DEBIAN_PACKAGES):
        raise RunError(
            f"{MIRROR}: {len(matches)} packages found, expected {len(DEBIAN_PACKAGES)}; try later"
        )
    return sorted(map(_debian_package, matches), key=lambda package: package.name)


def _debian_package(match):
    name, version, _ = unquote(match["file"]).split("_")
    file = match["url"].rpartition("/")[2]
    return Package(DEB, name, version, unquote(file), match["sha256"], match["url"])


def _private_apt(folder: Path) -> dict:
    """Returns settings with which apt-get knows only arm64, this mirror and this folder."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    source = f"deb [arch=arm64 signed-by={KEYRING}] {MIRROR} {SUITE} main\n"
    (folder / "sources.list").write_text(source)
    return {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",  # the folder is closed to apt's own user
        "Acquire::Languages": "none",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
    }


def _wheels():
    with TemporaryDirectory(prefix="pocketllm-pip-") as unused:  # pip needs a target
        install = [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
            "--no-deps", "--report=-", f"--target={unused}", *WHEEL_TAGS,
            *REQUIREMENTS, *ENGINE_REQUIREMENTS,
        ]  # fmt: skip
        report = json.loads(run(install, "pip's index does not have what is needed"))
    return sorted(map(_wheel, report["install"]), key=lambda package: package.name)


def _wheel(entry):
    download, metadata = entry["download_info"], entry["metadata"]
    file = unquote(download["url"].rpartition("/")[2])
    digest = download["archive_info"]["hashes"]["sha256"]
    return Package(WHEEL, metadata["name"], metadata["version"], file, digest, "")
