"""The contents of a device image: packages, requirements, and files that are left out."""

from fnmatch import fnmatchcase

PYTHON = "3.11"  # Debian 12's

# Debian package -> the shared libraries taken from it, by the name that programs load them by.
# Of the packages without one, the interpreter and its standard library are taken.
DEBIAN_PACKAGES = {
    "libc6": (
        "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6",
        # empty since glibc 2.34, but wheels still load them
        "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    ),
    "libexpat1": ("libexpat.so.1",),
    "libffi8": ("libffi.so.8",),
    "libgcc-s1": ("libgcc_s.so.1",),
    "libpython3.11-minimal": (),
    "libpython3.11-stdlib": (),
    # sha256 of a bundle is six times faster with it than with Python's own
    "libssl3": ("libcrypto.so.3",),
    "libstdc++6": ("libstdc++.so.6",),
    "python3.11-minimal": (),
    "zlib1g": ("libz.so.1",),
}  # fmt: skip

# The runtime's requirements in setup.cfg, with one engine; and what that engine imports.
REQUIREMENTS = (
    "absl-py>=2.1,<3", "ai-edge-litert>=2.3,<2.4", "numpy>=1.26,<2", "tokenizers>=0.22.2,<0.24",
    "tqdm>=4.66,<5",
)  # fmt: skip
# Imported by its CompiledModel, for frozen bases; below what TensorFlow takes beside it here.
ENGINE_REQUIREMENTS = ("ml_dtypes>=0.5.3,<0.6",)

# Patterns of files left out of Python's standard library, relative to lib/python3.11.
STANDARD_LIBRARY_LEFT_OUT = (
    "__phello__/*", "ensurepip/*", "idlelib/*", "lib2to3/*", "pydoc_data/*", "test/*", "tkinter/*",
    "turtledemo/*", "venv/*", "distutils/*", "wsgiref/*", "config-*", "sitecustomize.py",
    "EXTERNALLY-MANAGED",
    "sqlite3/*", "curses/*", "dbm/*", "asyncio/*",
    # extensions whose libraries are left out
    *(f"lib-dynload/{name}.*" for name in (
        "_asyncio", "_bz2", "_crypt", "_curses", "_curses_panel", "_dbm", "_lzma", "_sqlite3",
        "_ssl", "_uuid", "nis", "ossaudiodev", "readline",
    )),
    "lib-dynload/_test*", "lib-dynload/_ctypes_test*", "lib-dynload/_xx*", "lib-dynload/xx*",
)  # fmt: skip

# Patterns of files left out of the wheels, relative to site-packages.
WHEELS_LEFT_OUT = (
    "*/tests/*", "*.pyi", "*.pxd", "*.a", "*.h", "*.c", "*/py.typed", "bin/*", "*.data/*",
    "*.dist-info/RECORD", "*.dist-info/licenses/*", "*.dist-info/sboms/*",
    "ai_edge_litert/aot/*", "ai_edge_litert/tools/*", "ai_edge_litert/tflite/*",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "numpy/core/_simd.*", "numpy/core/include/*", "numpy/distutils/*",
    "numpy/f2py/*", "numpy/doc/*",
)  # fmt: skip


def left_out(path: str, patterns: tuple[str, ...]) -> bool:
    """Returns whether a path matches one of the patterns, in which `*` matches slashes too."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
