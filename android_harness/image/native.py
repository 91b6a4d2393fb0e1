"""The device image without Python: pocketllm-train, LiteRT's library, and what both load.

pocketllm             launcher, a shell script
bin/pocketllm-train   compiled here, for arm64
lib/                  Debian's loader and shared libraries, libLiteRt.so
image.lock.json       the packages it was built from
"""

import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import cores

from ..programs import need, run
from . import contents
from .build import LAUNCHER, Image, check_libraries, libraries, write_image
from .lock import DEB, Package
from .unpack import Files, read_package

PROGRAM = "bin/pocketllm-train"
ENGINE = "ai_edge_litert"
LIBRARY = "libLiteRt.so"
# Debian packages whose libraries the program and the engine's load.
DEBIAN_PACKAGES = ("libc6", "libgcc-s1", "libstdc++6")
MAX_BYTES = 12_000_000
SOURCES = Path(__file__).resolve().parents[1] / "native"
COMPILER = "aarch64-linux-gnu-g++"  # Debian's
# The C library of Debian 12, which the image holds.
ZIG = ("-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.36")
INSTALL = (
    f"sudo apt-get install --no-install-recommends cmake make g++-aarch64-linux-gnu "
    f"nlohmann-json3-dev ({COMPILER}; or `pip install ziglang` in its place)"
)


def is_part(package: Package) -> bool:
    """Whether an image without Python holds something of a package."""
    return package.name in DEBIAN_PACKAGES or is_engine(package)


def is_engine(package: Package) -> bool:
    """Whether a package is LiteRT's wheel."""
    return package.kind != DEB and package.name.replace("-", "_") == ENGINE


def build_native(packages: Sequence[Package], cache: Path, folder: Path) -> Image:
    """Compiles the program and builds an image; its folder appears when it is complete.

    Args:
      packages: those of a lock file that `is_part` holds of, all in the cache.
      cache: folder that `fetch` filled.
      folder: folder to write; an image that is there is replaced.

    Raises:
      InputError: a compiler is missing, or a package lacks a file that the image needs.
      RunError: it does not compile, the folder cannot be written, or the image is too large.
    """
    files: Files = {}
    for package in packages:
        names = contents.DEBIAN_PACKAGES.get(package.name, (LIBRARY,))
        files |= dict(libraries(read_package(package, cache / package.file), names))
    expected = [LIBRARY, *(n for name in DEBIAN_PACKAGES for n in contents.DEBIAN_PACKAGES[name])]
    check_libraries(files, [f"lib/{name}" for name in expected])
    engine = next(filter(is_engine, packages))
    files[PROGRAM] = (_compiled(files[f"lib/{LIBRARY}"][0], engine.version), True)
    files[LAUNCHER] = ((Path(__file__).parent / "launcher_native.sh").read_bytes(), True)
    return write_image(files, packages, folder, MAX_BYTES)


def _compiled(library: bytes, version: str) -> bytes:
    """Returns the program, compiled for arm64 and linked with the library."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / LIBRARY).write_bytes(library)
        definitions = {
            "CMAKE_SYSTEM_NAME": "Linux",
            "CMAKE_SYSTEM_PROCESSOR": "aarch64",
            "CMAKE_CXX_COMPILER": ";".join(compiler()),
            # With its own C++ library, ziglang's program is larger than an image has room for: it
            # is optimised for size, and as a whole.
            "CMAKE_BUILD_TYPE": "Release" if shutil.which(COMPILER) else "MinSizeRel",
            "CMAKE_CXX_FLAGS_MINSIZEREL": "-Os -flto -DNDEBUG",
            "LITERT": folder / LIBRARY,
            "LITERT_VERSION": version,
            "POCKETLLM_VERSION": metadata.version("pocketllm"),
        }
        cmake = need("cmake", INSTALL)
        flags = [f"-D{name}={value}" for name, value in definitions.items()]
        trouble = f"{SOURCES}: cannot be compiled for arm64; it needs {INSTALL}"
        run([cmake, "-S", SOURCES, "-B", folder / "build", *flags], trouble)
        # Without a number make starts the compilers of all files at once, up to 340 MB each.
        run([cmake, "--build", folder / "build", "--parallel", str(cores())], trouble)
        return (folder / "build" / Path(PROGRAM).name).read_bytes()


def compiler() -> list[str]:
    """Returns the command of a C++ compiler for arm64. Raises InputError where there is none."""
    if path := shutil.which(COMPILER):
        return [path]
    if find_spec("ziglang"):
        return [sys.executable, *ZIG]
    raise InputError(f"{COMPILER}: not found on the PATH; {INSTALL}")
