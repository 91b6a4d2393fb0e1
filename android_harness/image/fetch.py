"""The cache of packages: a folder; files with the right sha256 are used, others fetched."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import check_writable, sha256_of
from pocketllm.runtime.host.progress import Progress

from ..programs import run
from .lock import WHEEL, Package
from .resolve import WHEEL_TAGS

APT_HELPER = Path("/usr/lib/apt/apt-helper")


def default_cache() -> Path:
    """Returns the user's cache folder for packages."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pocketllm" / "image"


def fetch(packages: list[Package], cache: Path) -> int:
    """Fetches the packages that the cache lacks; returns their number.

    Raises:
      InputError: a file in the cache has another sha256 than the lock file says.
      RunError: a package cannot be fetched.
    """
    missing = [package for package in packages if not _is_cached(package, cache)]
    with Progress("fetching", len(missing), "package") as bar:
        for package in missing:
            check_writable(cache / package.file)
            with TemporaryDirectory(prefix=".partial-", dir=cache) as folder:
                path = Path(folder) / package.file
                (_fetch_wheel if package.kind == WHEEL else _fetch_deb)(package, path)
                _check(package, path)
                os.replace(path, cache / package.file)
            bar.advance(1, package.name)
    return len(missing)


def _is_cached(package, cache):
    path = cache / package.file
    if not path.exists():
        return False
    if sha256_of(path) != package.sha256:
        raise InputError(
            f"{path}: its sha256 is not the lock file's {package.sha256}; remove the file"
        )
    return True


def _check(package, path):
    if not path.exists() or sha256_of(path) != package.sha256:
        raise RunError(
            f"{package.file}: what was fetched does not have the lock file's sha256 "
            f"{package.sha256}; try again, or --refresh for the mirror's present packages"
        )


def _fetch_deb(package, path):
    if not APT_HELPER.exists():
        raise InputError(
            f"{package.file}: {APT_HELPER} is missing (no Debian or Ubuntu here); "
            f"fetch {package.url} into {path.parent.parent} by hand"
        )
    trouble = f"{package.url}: cannot be fetched; if the mirror has moved on, --refresh"
    # apt's own user may not write into our folder.
    options = "-oAPT::Sandbox::User=root"
    digest = f"SHA256:{package.sha256}"
    run([APT_HELPER, options, "download-file", package.url, path, digest], trouble)


def _fetch_wheel(package, path):
    trouble = f"{package.file}: pip cannot fetch it; if the index has moved on, --refresh"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *WHEEL_TAGS]
    run([*download, f"--dest={path.parent}", f"{package.name}=={package.version}"], trouble)
