"""A reproduction's report from fixed results: its text word for word, its figures, its checks."""

import json
from pathlib import Path

import pytest
from runs_on_disk import MACHINE, adam_line, mezo_line, write_run

from pocketllm.benchmarks.reproduce.plan import SCALES, Cell, cells_of
from pocketllm.runtime.errors import RunError

GOLDEN = Path(__file__).parents[1] / "golden" / "reproduction.md"
SCALE = SCALES["large"]
CONFIG = {
    "scale": "large",
    "models": SCALE.models,
    "random_init": ["roberta"],
    "limit_bytes": SCALE.limit_bytes,
    "threads": 8,
    "steps": 10,
    "tokens": 64,
    "eps": 1e-3,
    "lr": {"roberta mezo": 1e-6, "roberta adam": 1e-5, "opt mezo": 1e-7},
    "machine": {name: MACHINE[name] for name in MACHINE if name not in ("first_step", "engine")},
}
COMMAND = ["pocketllm", "reproduce", "--out=my folder", "--scale=large", "--model=opt"]
OURS = {"mezo": (2.0, 1.5e9), "adam": (3.0, 6e9)}  # step seconds, anonymous bytes
THEIRS = {"mezo": (5.0, 3e9), "adam": (4.5, 9e9)}


def result_of(cell, out, losses):
    """Returns a finished cell's result, and writes its run; Adam at batch 64 ran out of memory."""
    if cell.optimizer == "adam" and cell.batch_size == 64:
        steps, figures = 0, (None, None, None)
    else:
        seconds, anon = (OURS if cell.side == "pocketllm" else THEIRS)[cell.optimizer]
        steps, figures = len(losses), (seconds, anon, anon + 1e8)
        line = mezo_line if cell.optimizer == "mezo" else adam_line
        lines = [
            line(n, *([loss] * (2 if cell.optimizer == "mezo" else 1)))
            for n, loss in enumerate(losses, 1)
        ]
        write_run(out / "runs" / cell.name, lines, sessions=[MACHINE], optimizer=cell.optimizer)
    names = ("step_seconds", "peak_anon_bytes", "peak_rss_bytes")
    return {
        "name": cell.name,
        "outcome": "done" if steps else "out of memory",
        "ended": "exit code 0" if steps else "killed by SIGKILL",
        "seconds": 60.0,
        "limit_kind": "cgroup v2" if cell.architecture == "roberta" else "RLIMIT_DATA",
        "limit_bytes": SCALE.limit_bytes,
        "limit_peak_bytes": 7_000_000_000 if cell.architecture == "roberta" else None,
        "caches_dropped": cell.architecture == "roberta",
        "steps_taken": steps,
        "losses": losses if steps else [],
        **dict(zip(names, figures)),
    }


@pytest.fixture
def results(tmp_path):
    """All cells but PyTorch's OPT; PyTorch's Adam finds losses a little apart."""
    results_by_cell = {}
    for cell in cells_of(SCALE):
        apart = (cell.side, cell.optimizer) == ("pytorch", "adam")
        losses = [0.8, 0.7 * (1 + 3e-6), 0.6] if apart else [0.8, 0.7, 0.6]
        results_by_cell[cell.name] = result_of(cell, tmp_path, losses)
    results_by_cell["pytorch-opt-mezo-8"] = None
    return results_by_cell


@pytest.mark.desktop
def test_the_report_of_fixed_results_is_the_golden_one(results, tmp_path):
    from pocketllm.benchmarks.reproduce.report import write_reproduction

    result = write_reproduction(tmp_path, SCALE, CONFIG, results, COMMAND)

    assert (tmp_path / "report.md").read_text() == GOLDEN.read_text()
    assert json.loads((tmp_path / "report.json").read_text()) == result
    rows = {
        (row["architecture"], row["optimizer"], row["batch_size"]): row for row in result["rows"]
    }
    assert rows["roberta", "mezo", 8]["ratio"]["step_seconds"] == 2.5
    assert rows["roberta", "mezo", 8]["ratio"]["peak_anon_bytes"] == 2.0
    assert rows["roberta", "adam", 64]["paper"] == {"gigabytes": None, "step_seconds": None}
    none = dict.fromkeys(("step_seconds", "peak_anon_bytes", "peak_rss_bytes"))
    assert rows["roberta", "adam", 64]["ratio"] == rows["opt", "mezo", 8]["ratio"] == none


@pytest.mark.desktop
def test_figure_1_shows_our_mezo_and_adam_as_far_as_they_came(results, tmp_path):
    from svg import texts_of

    from pocketllm.benchmarks.reproduce.report import write_reproduction

    write_reproduction(tmp_path, SCALE, CONFIG, results, COMMAND)

    texts = texts_of(tmp_path / "figure1.svg")
    shown = [text for text in texts if "batch" in text]
    assert shown == ["MeZO, batch 8", "Adam, batch 8", "MeZO, batch 64"]
    assert "training loss, nats" in texts and "step" in texts
    assert any("roberta-large on SST-2, 64 tokens; Test Phone" in text for text in texts)
    assert (tmp_path / "figure1.png").stat().st_size > 10_000
    assert (tmp_path / "curves" / "report.md").is_file()


@pytest.mark.desktop
def test_a_report_without_any_cell_says_so(tmp_path):
    from pocketllm.benchmarks.reproduce.report import write_reproduction

    results = {cell.name: None for cell in cells_of(SCALE)}
    result = write_reproduction(tmp_path, SCALE, CONFIG, results, COMMAND)

    assert (result["figures"], result["curves"], result["agreement"]) == ([], None, [])
    text = (tmp_path / "report.md").read_text()
    assert "Nothing yet." in text and text.count("not run yet") == len(results)


@pytest.mark.desktop
def test_first_losses_of_adam_that_differ_from_pytorchs_are_a_failure(results, tmp_path):
    from pocketllm.benchmarks.reproduce.report import check_agreement, write_reproduction

    def reported(first):
        name = Cell("pytorch", "roberta", "adam", 8).name
        changed = results | {name: results[name] | {"losses": [first, 0.7, 0.6]}}
        return write_reproduction(tmp_path, SCALE, CONFIG, changed, COMMAND)

    check_agreement(reported(0.8 * (1 + 9e-5)))
    for first in (0.8 * (1 + 2e-4), float("nan")):
        with pytest.raises(RunError, match="^Adam at batch 8: the first losses, 0.800000 here and"):
            check_agreement(reported(first))
