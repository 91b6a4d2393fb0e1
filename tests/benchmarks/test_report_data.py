"""A report's figures: what is read of a run, checked by hand, and what is refused."""

import json
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs_on_disk import MACHINE, adam_line, mezo_line, write_mezo_run, write_run
from small_runs import steady

from pocketllm.benchmarks.report.data import read_runs, running_median, smoothing_window, summarise
from pocketllm.benchmarks.report.text import figure_caption, report_text, runs_table
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.rates.record import Choice, record


def summary_of(folder):
    (run,) = read_runs([folder])
    return summarise(run)


def refusal(*folders):
    with pytest.raises(InputError) as error:
        read_runs(folders)
    assert "\n" not in str(error.value)
    return str(error.value)


def result_of(*folders):
    """What report.json holds of these runs."""
    machine = {name: MACHINE[name] for name in ("cpu", "cores", "memory_bytes", "system")}
    return {
        "runs": [summarise(run) for run in read_runs(folders)],
        "figures": ["curves.png", "curves.svg"],
        "machine": machine | {"cpu": "Desk", "versions": {"matplotlib": "3.9"}},
    }


def test_the_figures_of_a_mezo_run(tmp_path):
    figures = summary_of(write_mezo_run(tmp_path / "run"))

    del figures["config"]
    assert figures == {
        "run": "run",
        "folder": str(tmp_path / "run"),
        "optimizer": "mezo",
        "model": "roberta-micro",
        "task": "sst2",
        "bundle_checksum": "b" * 64,
        "steps": 3,
        "first_loss": pytest.approx(0.7),
        "last_loss": pytest.approx(0.5),
        "lowest_loss": pytest.approx(0.4),
        "lowest_loss_step": 2,
        "best_dev_accuracy": 0.875,
        "best_dev_loss": 0.4,
        "dev_tokens": None,
        "best_dev_step": 2,  # as accurate as step 3, with the lower loss
        "dev_examples": 100,
        "dev_sha256": "dev",
        "median_of_steps": 1,
        "step_seconds": 1.5,
        "peak_anon_bytes": 2_345_678_901,
        "peak_rss_bytes": 2_987_654_321,
        "warnings": [],
        "measured": None,
        "samples": [],
        "sessions": [MACHINE],
    }


def test_the_figures_of_an_adam_run_that_knows_little(tmp_path):
    lines = [adam_line(1, 0.9, 2.0), adam_line(2, 0.1, 4.0)]
    (run,) = read_runs([write_run(tmp_path / "run", lines, optimizer="adam")])
    figures = summarise(run)

    assert (figures["optimizer"], figures["steps"], figures["step_seconds"]) == ("adam", 2, 3.0)
    assert (figures["first_loss"], figures["last_loss"], figures["lowest_loss_step"]) == (
        0.9,
        0.1,
        2,
    )
    for unknown in ("model", "task", "best_dev_accuracy", "best_dev_step", "dev_sha256"):
        assert figures[unknown] is None
    assert figures["sessions"] == []


def test_memory_that_was_not_measured_is_unknown(tmp_path):
    line = mezo_line(1, 1.0, 1.0, peak_anon_bytes=0, peak_rss_bytes=0)
    figures = summary_of(write_run(tmp_path / "run", [line]))

    assert figures["peak_anon_bytes"] is None and figures["peak_rss_bytes"] is None


def test_a_torn_last_line_and_evaluations_beyond_it_are_left_out(tmp_path):
    torn = json.dumps(mezo_line(4, 0.0, 0.0))[:-5]
    evaluations = [(2, 0.5, 0.7), (4, 1.0, 0.0)]
    figures = summary_of(write_mezo_run(tmp_path / "run", torn=torn, evaluations=evaluations))

    assert (figures["steps"], figures["lowest_loss"]) == (3, pytest.approx(0.4))
    assert (figures["best_dev_accuracy"], figures["best_dev_step"]) == (0.5, 2)


def test_reading_writes_nothing(tmp_path):
    folder = write_mezo_run(tmp_path / "run", torn='{"step"')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    summary_of(folder)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()

    for name in ("nowhere", "empty"):
        message = refusal(tmp_path / name)
        assert message.startswith(f"{tmp_path / name / 'config.json'}: No such file")
        assert "give the run directory of `pocketllm train`" in message


@pytest.mark.parametrize("torn", ["", '{"step": 1'])
def test_a_run_without_steps_is_refused(torn, tmp_path):
    folder = write_run(tmp_path / "run", [], torn=torn)

    assert refusal(folder) == f"{folder}: holds no steps yet; report it when it has some"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 2 is damaged (step is None"),
        ("nonsense", "line 2 is damaged"),
        (json.dumps(adam_line(2, 0.5)), "line 2 is damaged (seed is None"),
        (json.dumps(mezo_line(1, 0.5, 0.5)), "line 2 holds step 1, expected 2"),
        (json.dumps(mezo_line(2, 0.5, 0.5, seconds="1")), "seconds is '1', expected float"),
        (json.dumps(mezo_line(2, float("nan"), 0.5)), "line 2 holds what is no finite number"),
        (json.dumps(mezo_line(2, 0.5, float("inf"))), "line 2 holds what is no finite number"),
        (
            json.dumps(mezo_line(2, 0.5, 0.5, lr=10**400)),
            "line 2 is damaged (lr is larger than any float)",
        ),
    ],
)
def test_a_damaged_line_is_named(line, message, tmp_path):
    folder = write_run(tmp_path / "run", [mezo_line(1, 0.5, 0.5)], torn=line + "\n")

    assert refusal(folder).startswith(f"{folder / 'metrics.jsonl'}: ")
    assert message in refusal(folder)


@pytest.mark.parametrize("optimizer", ["lion", None, ["mezo"]])
def test_an_unknown_optimizer_is_refused(optimizer, tmp_path):
    folder = write_mezo_run(tmp_path / "run", optimizer=optimizer)

    expected = f"the optimizer is {optimizer!r}, expected mezo or fzoo or adam or sgd"
    assert expected in refusal(folder)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"sessions": {}}', '{"sessions": [3]}', '{"sessions": [{"cpu": 1}]}']
)
def test_a_damaged_machine_record_is_named(text, tmp_path):
    folder = write_mezo_run(tmp_path / "run")
    (folder / "machine.json").write_text(text)

    assert refusal(folder).startswith(f"{folder / 'machine.json'}: ")
    assert "remove" in refusal(folder)


def test_the_same_run_twice_is_refused_under_any_name(tmp_path):
    folder = write_mezo_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(folder)

    for other in (folder, tmp_path / "link", tmp_path / "run" / ".." / "run"):
        assert f"{folder}: given twice" in refusal(folder, other)


def test_runs_are_named_by_the_shortest_ends_of_their_paths_that_differ(tmp_path):
    folders = [write_mezo_run(tmp_path / name) for name in ("a/run", "b/run", "b/x\ny")]

    assert [run.name for run in read_runs(folders[:1])] == ["run"]
    assert [run.name for run in read_runs(folders)] == ["a/run", "b/run", "b/x?y"]


@steady
@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3), max_size=40),
    st.integers(0, 12).map(lambda half: 2 * half + 1),
)
def test_the_running_median_is_the_median_of_each_window(values, window):
    half = window // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]

    assert running_median(values, window) == [statistics.median(within) for within in windows]


@pytest.mark.parametrize(("steps", "window"), [(1, 1), (39, 1), (40, 3), (600, 31), (9000, 201)])
def test_the_window_is_odd_and_grows_with_the_run(steps, window, tmp_path):
    lines = [mezo_line(number, 0.5, 0.5) for number in range(1, steps + 1)]

    assert smoothing_window(read_runs([write_run(tmp_path / "run", lines)])[0]) == window


def test_the_table_rounds_and_dashes(tmp_path):
    adam = write_run(tmp_path / "adam|x", [adam_line(1, 0.25)], optimizer="adam")
    table = runs_table(result_of(write_mezo_run(tmp_path / "run"), adam)["runs"])

    assert table.splitlines()[2:] == [
        "| run | mezo | roberta-micro, sst2 | bbbbbbbbbbbb | 3 | 0.7000 | 0.5000 | 0.4000 (step 2) "
        "| 87.5% (step 2) | 1.500 | 2.346 | 2.988 |",
        "| adam\\|x | adam | – | bbbbbbbbbbbb | 1 | 0.2500 | 0.2500 | 0.2500 (step 1) "
        "| – | 2.000 | 3.000 | 3.500 |",
    ]


def test_the_report_names_what_each_run_ran_on(tmp_path):
    continued = [MACHINE, MACHINE | {"first_step": 3, "cpu": "Desk"}]
    folders = [
        write_mezo_run(tmp_path / "here"),
        write_mezo_run(tmp_path / "moved", sessions=continued),
        write_mezo_run(tmp_path / "old", sessions=()),
    ]
    result = result_of(*folders)
    text = report_text(result)

    on = "; Test Phone (CPU parts 0xd05, 0xd41), 8 cores, 8.0 GB memory, Linux 5.10 aarch64; "
    phone = next(line for line in text.splitlines() if "Test Phone" in line)
    assert phone.startswith("- here, moved from step 1: litert (ai-edge-litert 2.3.0, 4 threads, ")
    assert phone.endswith(on + "python 3.11.2, numpy 1.26.4")
    assert "- moved from step 3: litert" in text
    assert "- old: machine not recorded\n" in text
    assert "- this report: Desk, 8 cores" in text and "matplotlib 3.9" in text
    assert figure_caption(result).splitlines() == [
        "here, moved from step 1: Test Phone (CPU parts 0xd05, 0xd41), 8 cores; litert "
        "(ai-edge-litert 2.3.0, 4 threads)",
        "moved from step 3: Desk, 8 cores; litert (ai-edge-litert 2.3.0, 4 threads)",
        "old: machine not recorded",
    ]
    assert figure_caption(result_of(folders[0])) == (
        "Test Phone (CPU parts 0xd05, 0xd41), 8 cores; litert (ai-edge-litert 2.3.0, 4 threads)"
    )


def test_the_report_says_what_a_run_measured_and_chose(tmp_path):
    run = write_mezo_run(tmp_path / "run")
    rate = json.loads((run / "config.json").read_text())["lr"]
    choice = Choice({"lr": rate}, {"calls": 7}, "lr 1, measured: as said", ("rows say the same",))
    record(run, choice)
    result = result_of(run, write_mezo_run(tmp_path / "given"))

    assert [entry["measured"] for entry in result["runs"]] == [choice.summary(), None]
    assert (
        "## Measured before the first step\n\n"
        "- run: lr 1, measured: as said\n- run: rows say the same\n\n"
    ) in report_text(result)

    record(
        run, replace(choice, chosen={"lr": rate / 2})
    )  # of a run that a kill kept from beginning
    assert result_of(run)["runs"][0]["measured"] is None


def test_a_damaged_record_of_what_was_measured_is_named(tmp_path):
    run = write_mezo_run(tmp_path / "run")
    (run / "measured.json").write_text('{"chosen": 1}')

    assert "measured.json: damaged (" in refusal(run)


def test_accuracies_on_different_dev_sets_are_called_so(tmp_path):
    folders = [write_mezo_run(tmp_path / name) for name in ("a", "b")]
    assert "dev sets differ" not in report_text(result_of(*folders))
    path = folders[1] / "evaluations.jsonl"
    path.write_text(path.read_text().replace('"dev"', '"other"'))

    assert "dev sets differ" in report_text(result_of(*folders))
