"""Kotlin's compiler: the npm package kotlin-compiler, which a JDK runs.

`python tests/support/npm/kotlin_compiler.py` installs it into the cache, unless it is there, and
prints the folder of its libraries.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import npm_packages

TOOL = PACKAGE = "kotlin-compiler"
VERSION = "2.4.20"
MAIN = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
# A short program: the second compiler of the JVM, and more threads, cost more than they give.
JVM = ("java", "-XX:TieredStopAtLevel=1", "-XX:ActiveProcessorCount=1")


def install() -> Path:
    """Returns the folder of the libraries, filled by npm; raises npm_packages.Missing."""
    if not npm_packages.is_installed(TOOL, PACKAGE, VERSION):
        npm_packages.install(TOOL, f"{PACKAGE}@{VERSION}")
    return libraries()


def libraries() -> Path:
    """Returns the folder of the compiler's and the standard library's archives."""
    return npm_packages.modules(TOOL) / PACKAGE / "lib"


def standard_library() -> Path:
    """Returns what compiled programs run with."""
    return libraries() / "kotlin-stdlib.jar"


def needed() -> None:
    """Skips the test where there is no JDK, or not the package, which no test installs."""
    import pytest

    if not shutil.which("javac"):
        pytest.skip("no JDK is installed: `make kotlin-tools` installs it")
    npm_packages.needed(TOOL, PACKAGE, VERSION, "kotlin-tools")


def compile_kotlin(sources: list[Path], out: Path, classpath: list[Path]) -> None:
    """Compiles to a folder of classes; warnings are errors, and those end the test."""
    path = os.pathsep.join(map(str, [standard_library(), *classpath]))
    done = subprocess.run(
        [
            *JVM, "-Xmx1g", "-cp", f"{libraries()}/*", MAIN, "-Werror", "-no-stdlib",
            "-no-reflect", "-jvm-target", "17", "-cp", path, "-d", out, *sources,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "warning:" not in done.stderr, done.stderr[-4000:]


if __name__ == "__main__":
    try:
        print(install())
    except npm_packages.Missing as error:
        sys.exit(f"error: {error}")
