"""`pocketllm reproduce --scale=micro` from outside: killed, continued, one cell again."""

import json
import subprocess
import sys

import pytest
from small_runs import complaint, pocketllm
from waiting import wait_until

from pocketllm.benchmarks.reproduce.plan import SCALES, cells_of

pytestmark = pytest.mark.desktop

NAMES = [cell.name for cell in cells_of(SCALES["micro"])]
OUT_OF_MEMORY = {"pocketllm-roberta-adam-320", "pytorch-roberta-adam-320"}
FIRST_CELL_SECONDS, SECONDS = 200, 900  # on a busy machine


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A reproduction that was killed after its first cell."""
    out = tmp_path_factory.mktemp("reproduce") / "out"
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "reproduce", f"--out={out}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    second = out / "cells" / NAMES[1]
    wait_until(lambda: second.exists() or process.poll() is not None, "a cell", FIRST_CELL_SECONDS)
    assert second.exists(), process.stderr.read().decode()
    process.kill()
    process.communicate()
    return out


@pytest.fixture(scope="module")
def finished(killed):
    """The same one, continued to its end: (folder, first result's time before, process)."""
    before = (killed / "cells" / NAMES[0] / "result.json").stat().st_mtime_ns
    done = pocketllm("reproduce", f"--out={killed}", f"--json={killed}.json", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return killed, before, done


def test_every_cell_runs_or_is_seen_to_run_out_of_memory(finished):
    out = finished[0]
    result = json.loads((out / "report.json").read_text())

    assert result == json.loads(out.with_name("out.json").read_text())
    assert list(result["cells"]) == NAMES
    outcomes = {name: cell["outcome"] for name, cell in result["cells"].items()}
    assert outcomes == {
        name: "out of memory" if name in OUT_OF_MEMORY else "done" for name in NAMES
    }
    for cell in result["cells"].values():
        assert cell["limit_bytes"] == 750_000_000
        if cell["outcome"] == "done":
            assert cell["steps_taken"] == len(cell["losses"]) == 10
            assert 0 < cell["peak_anon_bytes"] < 750_000_000 and cell["step_seconds"] > 0
        elif cell["limit_kind"].startswith("cgroup"):
            assert cell["ended"] == "killed by SIGKILL"
            assert 742_500_000 < cell["limit_peak_bytes"] <= 750_000_000


def test_our_adam_and_pytorchs_find_the_same_losses(finished):
    result = json.loads((finished[0] / "report.json").read_text())

    (losses,) = [losses for losses in result["agreement"] if losses["batch_size"] == 8]
    assert losses["first_loss_difference"] < 1e-5
    assert losses["largest_loss_difference"] < 1e-4


def test_the_report_has_its_files_and_no_bundle_is_left(finished):
    out = finished[0]

    assert {path.name for path in out.iterdir()} == {
        ".lock", "bundles", "cells", "curves", "figure1.png", "figure1.svg", "report.json",
        "report.md", "reproduction.json", "runs",
    }  # fmt: skip
    assert list((out / "bundles").iterdir()) == []
    assert not list(out.glob("runs/*/parameters*"))
    text = (out / "report.md").read_text()
    assert "| Adam, batch 320 | out of memory (batch 64) | out of memory |" in text
    assert "Not run yet" not in text and f"--out={out}" in text


def test_what_was_finished_before_the_kill_was_not_run_again(finished):
    out, before, done = finished

    assert (out / "cells" / NAMES[0] / "result.json").stat().st_mtime_ns == before
    assert f"cell {NAMES[0]} " not in done.stdout
    assert f"cell {NAMES[1]} (1 of {len(NAMES) - 1})" in done.stdout


def test_one_cell_runs_again_and_nothing_else(finished):
    out = finished[0]
    results = {name: out / "cells" / name / "result.json" for name in NAMES}
    before = {name: path.stat().st_mtime_ns for name, path in results.items()}
    again = "pocketllm-opt-mezo-8"

    done = pocketllm("reproduce", f"--out={out}", f"--cells={again}", timeout=SECONDS)

    assert done.returncode == 0, done.stderr
    changed = {n for n, path in results.items() if path.stat().st_mtime_ns != before[n]}
    assert changed == {again}


def test_another_scale_in_the_same_folder_is_refused(finished):
    out = finished[0]

    done = pocketllm("reproduce", f"--out={out}", "--scale=base")
    complaint(done, 2, f"{out}: holds a reproduction with another config (scale 'micro' -> 'base'")


def test_a_second_reproduction_beside_one_that_runs_is_refused(finished):
    import fcntl

    with open(finished[0] / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        complaint(pocketllm("reproduce", f"--out={finished[0]}"), 2, "another process")


def test_a_cell_that_fails_otherwise_ends_the_command_and_names_its_log(finished):
    out, name = finished[0], "pocketllm-opt-mezo-8"
    (out / "bundles" / "opt-mezo-8").mkdir(parents=True)
    (out / "bundles" / "opt-mezo-8" / "bundle.json").write_text("{}")

    done = pocketllm("reproduce", f"--out={out}", f"--cells={name}", timeout=SECONDS)

    log = out / "cells" / name / "log.txt"
    complaint(done, 1, f"cell {name} failed (exit code 2): ", f"see {log}, and run the same")
    assert "bundle.json" in log.read_text()
    assert not (out / "cells" / name / "result.json").exists()
