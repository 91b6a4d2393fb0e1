"""The native program as the tests call it: `make native` builds it."""

import os
import shutil
import subprocess
from pathlib import Path

from small_runs import pocketllm, rows, write_tsv

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


def with_rows(folder: Path, train: list, bundle: Path | None = None) -> Path:
    """Fills a folder: a copy of a bundle unless it is there, data and their rows; returns it."""
    if bundle:
        shutil.copytree(bundle, folder / "bundle")
    write_tsv(folder / "train.tsv", train)
    write_tsv(folder / "dev.tsv", rows(10, seed=2))
    for name in ("train", "dev"):
        encode(folder / "bundle", folder / f"{name}.tsv", folder / f"{name}.rows")
    return folder


def flags_of(**values) -> list[str]:
    """Returns flags of these values."""
    return [f"--{name}={value}" for name, value in values.items()]


def files_of(run: Path) -> dict[str, bytes]:
    """Returns what both programs must write to the bit, whatever the machine's speed."""
    names = ("journal", "config.json", "evaluations.jsonl")
    return {name: (run / name).read_bytes() for name in names if (run / name).exists()}
