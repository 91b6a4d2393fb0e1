"""The Kotlin of docs/kotlin.md: cut out of the page, compiled, run on the desktop's JVM.

LiteRT's API is the stand-ins in litert/, whose natives (shim.c) call the wheel's libLiteRt.so.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import kotlin_compiler
import pages

HERE = Path(__file__).resolve().parent
PAGE = pages.ROOT / "docs" / "kotlin.md"
NATIVE = pages.ROOT / "android_harness" / "native"  # declares what libLiteRt.so has
USE = "App.kt"  # the block that has no heading of its own
JSON = Path("/usr/share/java/com.android.json.jar")  # Android's org.json, as Debian has it
_PART = re.compile(r"^## [^\n]*`(\w+\.kt)`$|^```kotlin\n(.*?)^```$", re.S | re.M)


def cut(page: str) -> dict[str, str]:
    """Returns {file: code}: a heading names the file of the next block of Kotlin."""
    files: dict[str, str] = {}
    name = USE
    for heading, code in _PART.findall(page):
        if heading:
            name = heading
        else:
            assert name not in files, f"a second block of {name}"
            files[name], name = code, USE
    return files


def needed() -> None:
    """Skips the test where something is missing that the page is compiled and run with."""
    import pytest

    kotlin_compiler.needed()
    if not shutil.which("cc"):
        pytest.skip("no C compiler is installed: `make kotlin-tools` installs it")
    if not JSON.exists():
        pytest.skip("Android's org.json is not installed: `make kotlin-tools` installs it")


@dataclass(frozen=True)
class Answer:
    """What the driver said: its lines, and how it ended."""

    lines: list[dict]
    code: int
    errors: str

    def values(self, key: str) -> list:
        """Returns the values of a key, in their order."""
        return [line[key] for line in self.lines if key in line]

    def numbers(self, key: str) -> list[list[float]]:
        """Returns the lists of doubles of a key."""
        return [list(map(float, texts)) for texts in self.values(key)]


class KotlinProgram:
    """The page's code and a driver, compiled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self, plan: Path, before: tuple[str, ...] = ()) -> subprocess.Popen:
        """Starts the driver in a process of its own; `before` is a command that runs it."""
        path = os.pathsep.join(map(str, [self.folder / "classes", standard(), JSON]))
        return subprocess.Popen(
            [
                *before, *kotlin_compiler.JVM, "-XX:-UsePerfData",
                f"-Djava.library.path={self.folder}",
                "-cp", path, "DriverKt", plan,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def run(self, folder: Path, command: str, before: tuple[str, ...] = (), **plan) -> Answer:
        """Runs a command of the driver to its end, with a plan that is written into a folder."""
        process = self.start(write_plan(folder, command, **plan), before)
        return answer(process)

    def well(self, folder: Path, command: str, **plan) -> Answer:
        """Runs a command that must end well."""
        result = self.run(folder, command, **plan)
        assert result.code == 0, result.errors
        return result


def write_plan(folder: Path, command: str, **plan) -> Path:
    """Writes what the driver is to do."""
    path = folder / "plan.json"
    values = {key: str(value) if isinstance(value, Path) else value for key, value in plan.items()}
    path.write_text(json.dumps(values | {"command": command}))
    return path


def answer(process: subprocess.Popen) -> Answer:
    """Waits for the driver's end; a crash of the native library ends the test."""
    out, errors = process.communicate(timeout=600)
    assert process.returncode != -signal.SIGSEGV and "SIGSEGV" not in errors + out, errors + out
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return Answer(lines, process.returncode, errors)


def standard() -> Path:
    """Returns Kotlin's standard library."""
    return kotlin_compiler.standard_library()


def build(folder: Path) -> None:
    """Compiles the page's code with the driver, and the natives, into a new folder."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name, code in cut(PAGE.read_text(encoding="utf-8")).items():
        (sources / name).write_text(code, encoding="utf-8")
    kotlin = [*sorted(sources.iterdir()), *sorted(HERE.rglob("*.kt"))]
    kotlin_compiler.compile_kotlin(kotlin, folder / "classes", [JSON])
    spec = util.find_spec("ai_edge_litert")
    library = Path(spec.submodule_search_locations[0])
    jdk = Path(shutil.which("javac")).resolve().parents[1]
    done = subprocess.run(
        [
            "cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
            "-fPIC", "-shared", f"-I{jdk}/include", f"-I{jdk}/include/linux", f"-I{NATIVE}",
            HERE / "shim.c",
            "-o", folder / "liblitert_jni.so", f"-L{library}", "-lLiteRt", f"-Wl,-rpath,{library}",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
