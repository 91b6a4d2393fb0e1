"""Builds the folder that an arm64 phone runs from: Python, the LiteRT engine, the runtime.

The parts are Debian's arm64 packages and aarch64 wheels, from wherever apt and pip are configured
to look. The lock file names them by sha256: every build is the same. Packages that were fetched
stay in --cache and are not fetched again. Where the archives no longer have what PocketLLM's own
lock file names, the newest packages are taken instead, and said; --refresh takes them at once. The
image's own image.lock.json names what it was built from; --lock builds from it again or not at all.

--native builds the small one: pocketllm-train, which is compiled here, and its libraries, a tenth
of the size and without Python. `pocketllm device train --runtime=native` uses it, nothing else.

examples:
  pocketllm device image --out=image
  pocketllm device image --out=small --native
  pocketllm device image --out=image --refresh --force
"""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.folders import check_replaceable

from ..image.build import PARTS, build
from ..image.fetch import GoneError, default_cache, fetch, measured
from ..image.lock import LOCK_NAME, SHIPPED_LOCK, Package, read_lock
from ..image.native import build_native, is_part
from ..image.resolve import newest_packages

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write")
define.bool("native", False, "pocketllm-train in place of Python")
define.bool("force", False, "overwrite an image that is there")
define.string("lock", None, "lock file to build from; none: PocketLLM's own")
define.bool("refresh", False, "take the newest packages, not a lock file's")
define.string("cache", None, "folder of packages; none: ~/.cache/pocketllm/image")


def run(values) -> dict:
    """Builds; see the module's docstring."""
    required(values, "out")
    if values.lock and values.refresh:
        raise InputError("--lock and --refresh both say which packages; give one of them")
    folder = Path(values.out)
    check_replaceable(folder.absolute(), values.force, PARTS.__contains__, "a device image")
    cache = Path(values.cache) if values.cache else default_cache()
    lock = None if values.refresh else Path(values.lock) if values.lock else SHIPPED_LOCK
    packages, fetched, replaced = fetch_for(lock, cache, is_part if values.native else None)
    for line in replaced:
        print(line)
    image = (build_native if values.native else build)(packages, cache, folder)
    print(
        f"{folder}: {image.bytes / 1e6:.1f} MB in {image.files} files, from {len(packages)} "
        f"packages, {fetched} of them fetched"
    )
    return {
        "image": str(folder),
        "bytes": image.bytes,
        "files": image.files,
        "packages": len(packages),
        "fetched": fetched,
        "replaced": replaced,
        "lock": str(folder / LOCK_NAME),
    }


def fetch_for(
    lock: Path | None, cache: Path, wanted: Callable[[Package], bool] | None = None
) -> tuple[list[Package], int, list[str]]:
    """Fetches what an image is built from: a lock file's packages or, for None, the newest.

    For PocketLLM's own lock file the newest are also taken where its packages are gone.

    Args:
      lock: the lock file.
      cache: folder of packages.
      wanted: those that are fetched, all by default.

    Returns:
      (packages, how many were fetched, a line for each that is not the lock file's).

    Raises:
      InputError: the lock file, or a file in the cache, is not what it must be.
      RunError: packages cannot be fetched.
    """
    lines, locked = [], []
    if lock is not None:
        locked = list(filter(wanted, read_lock(lock)))
        try:
            return locked, fetch(locked, cache), []
        except GoneError as error:
            if lock != SHIPPED_LOCK:
                raise GoneError(f"{error}; --refresh takes the newest packages") from error
            lines = [f"the archives have moved on, the newest packages are taken instead: {error}"]
    packages = list(filter(wanted, newest_packages()))
    fetched = fetch(packages, cache)
    versions = {package.name: package.version for package in locked}
    lines += [
        f"{package.name} {package.version}, not {versions.get(package.name)}"
        for package in packages
        if locked and package.version != versions.get(package.name)
    ]
    return measured(packages, cache), fetched, lines
