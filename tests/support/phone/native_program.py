"""The native program as the tests call it: `make native` builds it."""

import os
import subprocess
from pathlib import Path

from small_runs import pocketllm

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "build" / "native" / "pocketllm-train"


def native(*arguments, timeout: int = 120, **environment) -> subprocess.CompletedProcess:
    """Runs pocketllm-train; stdout and stderr as text."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
    )


def encode(bundle: Path, data: Path, out: Path, *flags) -> Path:
    """Writes a data file's rows for a bundle; returns `out`."""
    done = pocketllm("encode", f"--bundle={bundle}", f"--data={data}", f"--out={out}", *flags)
    assert done.returncode == 0, done.stderr
    return out


def flags_of(**values) -> list[str]:
    """Returns flags of these values."""
    return [f"--{name}={value}" for name, value in values.items()]


def files_of(run: Path) -> dict[str, bytes]:
    """Returns what both programs must write to the bit, whatever the machine's speed."""
    names = ("journal", "config.json", "evaluations.jsonl")
    return {name: (run / name).read_bytes() for name in names if (run / name).exists()}
