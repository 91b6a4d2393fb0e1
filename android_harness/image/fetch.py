"""The cache of packages: a folder; files with the right sha256 are used, others fetched.

Where packages come from is the user's configuration of apt and pip.
"""

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import check_writable, sha256_of
from pocketllm.runtime.host.folders import cache_folder
from pocketllm.runtime.host.partials import partial_path, sweep, under_way
from pocketllm.runtime.host.progress import Progress

from ..programs import run
from .apt import TROUBLE, archives
from .lock import MOST_UNPACKED, WHEEL, Package
from .resolve import WHEEL_TAGS
from .unpack import read_package

APT_HELPER = Path("/usr/lib/apt/apt-helper")


class GoneError(RunError):
    """A package that no archive or index has any more, or not with the lock file's sha256."""


def default_cache() -> Path:
    """Returns the user's cache folder for packages."""
    return cache_folder("image")


def fetch(packages: list[Package], cache: Path) -> int:
    """Fetches the packages that the cache lacks; returns their number.

    Raises:
      InputError: a file in the cache has another size or sha256 than the lock file says.
      GoneError: a package cannot be fetched.
    """
    sweep(cache, lambda name: name.endswith((".deb", ".whl")))
    missing = [package for package in packages if not _is_cached(package, cache)]
    with Progress("fetching", len(missing), "package") as bar:
        for package in missing:
            check_writable(cache / package.file)
            with _beside(cache / package.file) as folder:
                path = folder / package.file
                (_fetch_wheel if package.kind == WHEEL else _fetch_deb)(package, path)
                if not path.exists() or not _is_it(package, path):
                    raise GoneError(
                        f"{package.file}: what was fetched does not have the lock file's size and "
                        f"sha256 {package.sha256}"
                    )
                os.replace(path, cache / package.file)
            bar.advance(1, package.name)
    return len(missing)


@contextmanager
def _beside(path):
    """Makes a folder for what becomes `path`, which a later process removes if this one dies."""
    folder = partial_path(path)
    folder.mkdir(mode=0o700)
    try:
        with under_way(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(packages: list[Package], cache: Path) -> list[Package]:
    """Returns newly found packages with their sizes, for a lock file; the cache has them all.

    Raises:
      InputError: a package is damaged or larger than any that an image is built from.
    """
    return [
        replace(
            package,
            bytes=(cache / package.file).stat().st_size,
            unpacked=_unpacked(package, cache / package.file),
        )
        for package in packages
    ]


def _unpacked(package, path):
    files = read_package(replace(package, unpacked=MOST_UNPACKED), path)
    return sum(len(data) for data, _ in files.values())


def _is_cached(package, cache):
    path = cache / package.file
    if not path.exists():
        return False
    if not _is_it(package, path):
        raise InputError(
            f"{path}: its size or sha256 is not the lock file's {package.sha256}; remove the file"
        )
    return True


def _is_it(package, path):
    """Whether a file is the package; one of another size is not read."""
    return path.stat().st_size == (package.bytes or path.stat().st_size) and (
        sha256_of(path) == package.sha256
    )


def _fetch_deb(package, path):
    if not APT_HELPER.exists():
        raise InputError(
            f"{package.file}: {APT_HELPER} is missing (no Debian or Ubuntu here); fetch "
            f"{package.path} of any Debian archive into {path.parent.parent} by hand"
        )
    trouble = RunError(TROUBLE)
    with TemporaryDirectory(prefix="pocketllm-apt-") as folder:
        for url in _addresses(package, archives(Path(folder))):
            # apt's own user may not write into our folder
            command = [APT_HELPER, "-oAPT::Sandbox::User=root", "download-file"]
            try:
                run([*command, url, path, f"SHA256:{package.sha256}"], "apt cannot fetch it")
                return
            except RunError as error:
                trouble = error
    raise GoneError(f"{package.file}: in none of apt's archives: {trouble}")


def _addresses(package, bases):
    """Yields where a package may lie; with a point release security updates join the main pool."""
    for path in dict.fromkeys([package.path, package.path.replace("pool/updates/", "pool/")]):
        for base in bases:
            yield f"{base}/{quote(path)}"


def _fetch_wheel(package, path):
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *WHEEL_TAGS]
    wanted = f"{package.name}=={package.version}"
    try:
        run([*download, f"--dest={path.parent}", "--", wanted], "pip cannot fetch it")
    except RunError as error:
        raise GoneError(f"{package.file}: {error}") from error
