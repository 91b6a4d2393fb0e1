"""Finds the newest packages in the indexes of the user's apt and pip."""

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from pocketllm.runtime.contract import ENGINES
from pocketllm.runtime.errors import RunError

from ..programs import run
from .apt import TROUBLE, newest_addresses
from .contents import DEBIAN_PACKAGES, ENGINE_REQUIREMENTS, PYTHON, REQUIREMENTS
from .lock import DEB, WHEEL, Package, check_package

# The newest tags first: glibc 2.36 runs wheels made for any of these.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]
WHEEL_TAGS = [
    "--only-binary=:all:",
    f"--python-version={PYTHON}",
    *(f"--platform={platform}" for platform in (*PLATFORMS, "manylinux2014_aarch64")),
]
URI_LINE = re.compile(
    r"^'(?P<url>\S+)' (?P<file>\S+) (?P<bytes>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.M
)


def newest_packages() -> list[Package]:
    """Returns the newest packages of both indexes that an image is built from, not measured yet.

    Raises:
      InputError: apt-get is missing.
      RunError: an index cannot be read, or lacks a package.
    """
    packages = [*_debian_packages(), *_wheels()]
    for package in packages:
        try:
            check_package(package, measured=False)
        except ValueError as error:
            raise RunError(f"the index names what is no package: {error}") from error
    return packages


def _debian_packages():
    with TemporaryDirectory(prefix="pocketllm-apt-") as folder:
        lines = newest_addresses(Path(folder), list(DEBIAN_PACKAGES))
    packages = list(map(_debian_package, URI_LINE.finditer(lines)))
    if {package.name for package in packages} != set(DEBIAN_PACKAGES):
        names = ", ".join(sorted(set(DEBIAN_PACKAGES) - {package.name for package in packages}))
        raise RunError(f"{TROUBLE}: no {names or 'one version of each package'}")
    return sorted(packages, key=lambda package: package.name)


def _debian_package(match):
    name, version, _ = unquote(match["file"]).split("_")
    path = unquote(match["url"])
    path = path[path.find("/pool/") + 1 :]
    file = path.rpartition("/")[2]
    return Package(DEB, name, version, file, match["sha256"], path, int(match["bytes"]))


def _wheels():
    # The phone's LiteRT is the workstation's: a journal from there is replayed by the one here.
    litert = f"{ENGINES['litert']}=={metadata.version(ENGINES['litert'])}"
    with TemporaryDirectory(prefix="pocketllm-pip-") as unused:  # pip needs a target
        install = [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
            "--no-deps", "--report=-", f"--target={unused}", *WHEEL_TAGS, "--",
            *REQUIREMENTS, *ENGINE_REQUIREMENTS, litert,
        ]  # fmt: skip
        report = json.loads(run(install, "pip's index does not have what is needed"))
    return sorted(map(_wheel, report["install"]), key=lambda package: package.name)


def _wheel(entry):
    download, details = entry["download_info"], entry["metadata"]
    file = unquote(download["url"].rpartition("/")[2])
    digest = download["archive_info"]["hashes"]["sha256"]
    return Package(WHEEL, details["name"], details["version"], file, digest, "")
