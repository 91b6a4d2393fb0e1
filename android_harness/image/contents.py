"""What a device image holds, and what of it is left out."""

from fnmatch import fnmatchcase

PYTHON = "3.11"  # Debian 12's

# Debian package -> the shared libraries taken from it, by the name that programs ask for.
# The two of Python's standard library, and the interpreter itself, are taken as folders.
DEBIAN_PACKAGES = {
    "libc6": (
        "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6",
        # empty since glibc 2.34, but wheels still ask for them
        "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    ),
    "libexpat1": ("libexpat.so.1",),
    "libffi8": ("libffi.so.8",),
    "libgcc-s1": ("libgcc_s.so.1",),
    "libpython3.11-minimal": (),
    "libpython3.11-stdlib": (),
    # sha256 of a bundle: six times faster than Python's own
    "libssl3": ("libcrypto.so.3",),
    "libstdc++6": ("libstdc++.so.6",),
    "python3.11-minimal": (),
    "zlib1g": ("libz.so.1",),
}  # fmt: skip
LOADER = "ld-linux-aarch64.so.1"

# What setup.cfg says the runtime imports, with one engine, and what that engine imports of its own.
REQUIREMENTS = ("absl-py", "ai-edge-litert", "numpy<2", "tokenizers", "tqdm")
ENGINE_REQUIREMENTS = ("ml_dtypes",)  # by its CompiledModel, for frozen bases

# Modules of pocketllm.benchmarks, by path, for `device bench`: what measures ours, and the machine.
BENCHMARKS = (
    "__init__.py", "bench/__init__.py", "bench/stopwatch.py", "bench/workload.py",
    "bench/workers/__init__.py", "bench/workers/litert.py", "bench/workers/sgemm.py",
    "isolation/__init__.py", "isolation/process.py", "isolation/worker.py",
)  # fmt: skip

# Of Python's standard library, relative to lib/python3.11.
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

# Of the wheels, relative to where they are installed.
WHEELS_LEFT_OUT = (
    "*/tests/*", "*.pyi", "*.pxd", "*.a", "*.h", "*.c", "*/py.typed", "bin/*", "*.data/*",
    "*.dist-info/RECORD", "*.dist-info/licenses/*", "*.dist-info/sboms/*",
    "ai_edge_litert/aot/*", "ai_edge_litert/tools/*", "ai_edge_litert/tflite/*",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "numpy/core/_simd.*", "numpy/core/include/*", "numpy/distutils/*",
    "numpy/f2py/*", "numpy/doc/*",
)  # fmt: skip


def left_out(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path, or one of its folders, is left out; `*` stands for slashes too."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
