"""Lines that hold something else: named in one line, and no journalled run ends for one."""

import shutil

import pytest
from small_runs import mezo_steps, run_config

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.flushed import EVALUATIONS, FLUSHED, METRICS
from pocketllm.runtime.journal.lines import (
    cut_lines_beyond,
    cut_torn_lines,
    read_evaluations,
    read_steps,
    seconds_so_far,
)
from pocketllm.runtime.optim.mezo import MezoStep
from pocketllm.runtime.run.loop import train

pytest_plugins = ["runtime_fixtures"]

STEPS = 3
DEEP = "[" * 200_000
LINES = [
    '{"step":"a"}', '{"step":null}', '{"step":[1]}', '{"step":true}', '{"step":1.5}', "{}", "[]",
    "1", "null", '"a"', "nonsense", "", DEEP, '{"step": ' + DEEP, '{"step": 4}', '{"seconds": "a"}',
    '{"step": 1' + "0" * 5000 + "}", "\x00" * 40, "NaN", '{"step": NaN, "seconds": Infinity}',
]  # fmt: skip


def short(line):
    return repr(line[:24])


@pytest.fixture(scope="module")
def trained(golden_bundle, train_data, dev_data, open_ready, tmp_path_factory):
    """A run of three steps, evaluated."""
    folder = tmp_path_factory.mktemp("lines") / "run"
    config = run_config(golden_bundle, train_data, steps=STEPS)
    train(open_ready(golden_bundle, "litert"), train_data, folder, config, dev_data)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize("line", LINES, ids=short)
def test_a_damaged_line_is_an_input_error_for_every_reader(line, run):
    for name, read in (
        (METRICS, lambda: read_steps(run, MezoStep)),
        (EVALUATIONS, lambda: read_evaluations(run)),
    ):
        text = (run / name).read_text()
        (run / name).write_text(f"{line}\n{text}")
        with pytest.raises(InputError, match=f"{name}: line 1 is damaged") as error:
            read()
        assert "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize("line", LINES, ids=short)
def test_a_damaged_last_line_is_cut_and_counts_no_seconds(line, run):
    sound, seconds = (run / METRICS).read_bytes(), seconds_so_far(run)
    (run / METRICS).write_bytes(sound + line.encode() + b"\n")

    assert seconds_so_far(run) == seconds
    cut_lines_beyond(run, STEPS)
    assert (run / METRICS).read_bytes() == sound


@pytest.mark.parametrize("line", LINES, ids=short)
def test_what_was_not_flushed_and_is_damaged_is_cut_before_more_is_written(line, run):
    (run / FLUSHED).write_bytes(b"")  # nothing is known to be on the disk
    for name in (METRICS, EVALUATIONS):
        sound = (run / name).read_bytes()
        (run / name).write_bytes(sound + line.encode() + b"\n")
        cut_torn_lines(run, MezoStep)
        assert (run / name).read_bytes() == sound


@pytest.mark.parametrize("line", ['{"step":"a"}', DEEP], ids=short)
@pytest.mark.parametrize("place", [0, STEPS])
def test_a_journalled_run_goes_on_with_a_damaged_line(
    line, place, run, golden_bundle, train_data, open_ready
):
    lines = (run / METRICS).read_text().splitlines()
    (run / METRICS).write_text("".join(f"{text}\n" for text in [*lines[:place], line]))
    config = run_config(golden_bundle, train_data, steps=STEPS + 2)

    last = train(open_ready(golden_bundle, "litert"), train_data, run, config).last_step

    assert last == STEPS + 2
    if place:
        assert [step.step for step in mezo_steps(run)] == [1, 2, 3, 4, 5]
