"""`pocketllm report` from outside: its files, its figures' text, and what it refuses."""

import json
import re
import struct
import xml.etree.ElementTree as ElementTree

import pytest
from runs_on_disk import MACHINE, adam_line, mezo_line, write_mezo_run, write_run
from small_runs import complaint, pocketllm, python
from svg import texts_of

FILES = {"report.md", "report.json", "curves.png", "curves.svg"}
LOSS, ACCURACY, SECONDS = "training loss, nats", "dev accuracy, %", "time per step, s"
GRADIENT = ["|projected gradient|,", "nats per unit of z"]
MEMORY = ["peak anonymous memory, GB", "peak memory, all pages, GB"]
SVG = "{http://www.w3.org/2000/svg}"


def report(*arguments):
    done = pocketllm("report", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done


def long_run(folder, steps=100, **changes):
    return write_run(folder, [mezo_line(n, 0.5, 0.5) for n in range(1, steps + 1)], **changes)


@pytest.fixture
def run(tmp_path):
    return write_mezo_run(tmp_path / "run")


@pytest.mark.desktop
def test_a_report_is_a_table_figures_and_json(run, tmp_path):
    out, result = tmp_path / "deep" / "out", tmp_path / "result.json"
    done = report(run, f"--out={out}", f"--json={result}")

    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    contents = json.loads((out / "report.json").read_text())
    assert contents == json.loads(result.read_text())
    assert contents["runs"][0]["best_dev_accuracy"] == 0.875
    assert {"python", "matplotlib", "numpy"} <= set(contents["machine"]["versions"])
    text = (out / "report.md").read_text()
    assert "| run | mezo | roberta-micro, sst2 | bbbbbbbbbbbb | 3 | 0.7000 |" in text
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (out / name).is_file()
    assert "](curves.png)" in text and "Test Phone" in text
    assert "run: mezo, 3 steps, loss 0.7000 to 0.5000, best dev accuracy 0.8750 at 2" in done.stdout


@pytest.mark.desktop
def test_the_png_opens_and_is_large_enough_for_print(run, tmp_path):
    from matplotlib.image import imread

    report(run, f"--out={tmp_path / 'out'}")

    path = tmp_path / "out" / "curves.png"
    pixels = imread(path)
    assert pixels.shape[1] == 2100  # 7 inches at 300 dots
    assert pixels[..., :3].min() < 0.3 and pixels[..., :3].max() == 1.0
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert pixels.shape[:2] == (height, width)


@pytest.mark.desktop
def test_the_figure_names_runs_units_window_and_machine(run, tmp_path):
    other = long_run(tmp_path / "b<&>$x$_", sessions=[MACHINE])
    report(run, other, f"--out={tmp_path / 'out'}")

    texts = texts_of(tmp_path / "out" / "curves.svg")
    for expected in (LOSS, ACCURACY, *GRADIENT, SECONDS, *MEMORY, "single steps"):
        assert texts.count(expected) == 1, expected
    assert texts.count("step") == 2  # under each column
    for name in ("run", "b<&>$x$_"):
        assert texts.count(name) == 1, "one legend"
    assert "running median of 1 to 5 steps" in texts
    assert any(text.startswith("Test Phone (CPU parts 0xd05") for text in texts)


@pytest.mark.desktop
@pytest.mark.parametrize(
    ("lines", "optimizer", "expected"),
    [
        ([adam_line(n, 0.5) for n in (1, 2)], "adam", [LOSS, SECONDS, *MEMORY]),
        ([mezo_line(1, 0.5, 0.4, peak_anon_bytes=0, peak_rss_bytes=0)], "mezo",
         [LOSS, *GRADIENT, SECONDS]),
        ([mezo_line(1, 0.5, 0.4, peak_anon_bytes=0)], "mezo",
         [LOSS, *GRADIENT, SECONDS, MEMORY[1]]),
    ],
    ids=["adam", "no-memory", "no-anonymous"],
)  # fmt: skip
def test_panels_that_no_run_has_data_for_are_left_out(lines, optimizer, expected, tmp_path):
    folder = write_run(tmp_path / "run", lines, optimizer=optimizer)
    report(folder, f"--out={tmp_path / 'out'}")

    texts = texts_of(tmp_path / "out" / "curves.svg")
    labels = [LOSS, ACCURACY, *GRADIENT, SECONDS, *MEMORY]
    assert [label for label in labels if label in texts] == expected
    assert "running median" not in " ".join(texts), "there are too few steps"


@pytest.mark.desktop
def test_runs_of_different_optimizers_share_their_axes(run, tmp_path):
    lines = [adam_line(n, 10.0 ** (1 - n)) for n in range(1, 6)]
    other = write_run(tmp_path / "gradient", lines, optimizer="adam")
    report(run, other, f"--out={tmp_path / 'out'}")

    root = ElementTree.parse(tmp_path / "out" / "curves.svg").getroot()
    ids = [group.get("id", "") for group in root.iter(f"{SVG}g")]
    assert sum(name.startswith("axes_") for name in ids) == 6
    exponents = [text for text in texts_of(tmp_path / "out" / "curves.svg") if "−" in text]
    assert exponents, "the losses span decades: their axis is logarithmic"
    table = (tmp_path / "out" / "report.md").read_text()
    assert "| run | mezo |" in table and "| gradient | adam |" in table


@pytest.mark.desktop
def test_a_step_that_slept_is_told_and_not_drawn(tmp_path):
    lines = [mezo_line(n, 0.5, 0.5, 600.0 if n == 50 else 0.1) for n in range(1, 201)]
    report(write_run(tmp_path / "run", lines), f"--out={tmp_path / 'out'}")

    texts = texts_of(tmp_path / "out" / "curves.svg")
    assert "above: 1 step, up to 600" in texts
    assert "0.1" in texts or "0.10" in texts, "the other steps can be read"


@pytest.mark.desktop
def test_the_same_runs_give_the_same_files(run, tmp_path):
    other = long_run(tmp_path / "long")
    for name in ("a", "b"):
        report(run, other, f"--out={tmp_path / name}")

    for file in FILES:
        first, second = ((tmp_path / name / file).read_bytes() for name in ("a", "b"))
        assert first == second, file


@pytest.mark.desktop
def test_a_torn_last_line_is_no_error(tmp_path):
    folder = write_mezo_run(tmp_path / "run", torn='{"step": 4, "see')

    assert "run: mezo, 3 steps" in report(folder, f"--out={tmp_path / 'out'}").stdout


@pytest.mark.desktop
def test_force_replaces_a_report_and_nothing_else(run, tmp_path):
    out = tmp_path / "out"
    report(f"--out={out}", run)
    (out / "report.md").write_text("old")
    complaint(pocketllm("report", run, f"--out={out}"), 2, f"{out}: exists already", "--force")
    assert (out / "report.md").read_text() == "old"

    report(run, "--force", f"--out={out}")
    assert "old" not in (out / "report.md").read_text()

    (out / "thesis.tex").write_text("mine")
    complaint(pocketllm("report", run, f"--out={out}", "--force"), 2, "holds 'thesis.tex'")
    complaint(pocketllm("report", run, f"--out={run}", "--force"), 2, "no part of a report")


@pytest.mark.parametrize(
    ("arguments", "complaint_part"),
    [
        ([], "--out is missing"),
        (["RUN"], "--out is missing"),
        (["--out=OUT"], "RUN_DIR is missing; see `pocketllm report --help`"),
        (["nowhere", "--out=OUT"], "nowhere/config.json: No such file"),
        (["RUN", "RUN", "--out=OUT"], "given twice"),
        (["EMPTY", "--out=OUT"], "holds no steps yet"),
        (["RUN", "DAMAGED", "--out=OUT"], "metrics.jsonl: line 2 is damaged"),
        (["RUN", "--out=OUT", "--dpi=3"], "dpi"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(arguments, complaint_part, run, tmp_path):
    places = {
        "RUN": run,
        "OUT": tmp_path / "out",
        "EMPTY": write_run(tmp_path / "empty", []),
        "DAMAGED": write_run(tmp_path / "damaged", [mezo_line(1, 1.0, 1.0), {}]),
    }
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    before = sorted(path.name for path in tmp_path.iterdir())

    complaint(pocketllm("report", *arguments), 2, complaint_part)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_without_matplotlib_it_says_so_and_leaves_nothing(run, tmp_path):
    done = python(
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from pocketllm.runtime import cli\n"
        f"sys.exit(cli.main(['report', '{run}', '--out={tmp_path / 'out'}']))"
    )

    complaint(done, 2, "matplotlib", "this command needs the desktop installation")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_help_says_that_it_takes_run_directories():
    done = pocketllm("report", "--help")

    assert done.stdout.startswith("usage: pocketllm report [flags] RUN_DIR…\n")
