"""Builds the folder that an arm64 phone runs from: Python, the LiteRT engine, the runtime.

The parts are Debian's arm64 packages and aarch64 wheels. The lock file names them by sha256: every
build is the same. Packages that were fetched stay in --cache and are not fetched again.
--refresh takes the newest packages of both indexes instead, for a mirror that has moved on; the
image's own image.lock.json names them, and --lock builds from it again.

examples:
  pocketllm device image --out=image
  pocketllm device image --out=image --refresh --force
"""

from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.folders import check_replaceable

from ..image.build import PARTS, build
from ..image.fetch import default_cache, fetch
from ..image.lock import LOCK_NAME, SHIPPED_LOCK, read_lock
from ..image.resolve import newest_packages

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write")
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
    if values.refresh:
        packages = newest_packages()
    else:
        packages = read_lock(Path(values.lock) if values.lock else SHIPPED_LOCK)
    fetched = fetch(packages, cache)
    image = build(packages, cache, folder)
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
        "lock": str(folder / LOCK_NAME),
    }
