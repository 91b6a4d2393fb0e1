"""What a reproduction plans, refuses, and does again after an interruption; nothing is measured."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from small_runs import complaint, pocketllm

from pocketllm.benchmarks.reproduce import command
from pocketllm.benchmarks.reproduce.cell import Setting, finished, forget
from pocketllm.benchmarks.reproduce.plan import MODELS, SCALES, Cell, Export, cells_of
from pocketllm.runtime import cli
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.tasks.causal import TASKS as OPTION_TASKS
from pocketllm.tflite_models.presets import OPT_MICRO

CELLS = {
    "pocketllm-roberta-mezo-8", "pocketllm-roberta-mezo-64",
    "pocketllm-roberta-adam-8", "pocketllm-roberta-adam-64", "pocketllm-opt-mezo-8",
    "pytorch-roberta-mezo-8", "pytorch-roberta-mezo-64",
    "pytorch-roberta-adam-8", "pytorch-roberta-adam-64", "pytorch-opt-mezo-8",
}  # fmt: skip


def test_the_large_scale_is_the_papers_cells_on_both_sides():
    scale = SCALES["large"]

    assert scale.models == {"roberta": "roberta-large", "opt": "opt-1.3b"}
    assert scale.limit_bytes == 12_000_000_000
    assert {cell.name for cell in cells_of(scale)} == CELLS


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_cells_of_one_bundle_follow_each_other_and_adams_holds_the_whole_batch(scale):
    exports = [cell.export for cell in cells_of(scale)]

    changes = [a for a, b in pairwise(exports) if a != b]
    assert len(changes) == len(set(exports)) - 1 == 3
    small, large = scale.batch_sizes
    assert {Export("roberta", "mezo,adam", small), Export("roberta", "mezo,adam", large)} < {
        *exports
    }
    assert Cell("pocketllm", "roberta", "mezo", large).export == Export("roberta", "mezo", 8)
    assert Cell("pytorch", "roberta", "adam", large).export == Export("roberta", "mezo", 8)


def test_the_rows_of_wic_are_enough_for_ten_steps_and_of_both_classes():
    examples, skipped = read_examples(MODELS["opt"].task.rows, OPTION_TASKS["wic"])

    assert (len(examples), skipped) == (80, 0)
    assert 0.4 < sum(example.label for example in examples) / 80 < 0.6


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path / "out", SCALES["micro"].models, frozenset(), 10**9, threads=1)


@pytest.fixture
def stand_ins(monkeypatch):
    """Exports and cells that only say that they ran; the third cell is interrupted once."""
    seen = []

    def export(setting, export, say):
        folder = command.bundle_folder(setting.out, export)
        if not folder.exists():
            seen.append(export.name)
            folder.mkdir(parents=True)

    def run(setting, cell, say):
        seen.append(cell.name)
        folder = setting.out / "cells" / cell.name
        forget(setting.out, cell)
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("begun")
        if seen.count("stop") == 0 and len(list(setting.out.glob("cells/*"))) == 3:
            seen.append("stop")
            raise KeyboardInterrupt
        write_json(folder / "result.json", {"name": cell.name})
        return {"name": cell.name}

    monkeypatch.setattr(command, "export_bundle", export)
    monkeypatch.setattr(command, "run_cell", run)
    monkeypatch.setattr(command, "cell_line", lambda result: result["name"])
    return seen


def unfinished(setting, cells):
    return [cell for cell in cells if finished(setting.out, cell) is None]


def test_an_interrupted_reproduction_continues_with_the_cell_it_was_in(setting, stand_ins):
    cells = cells_of(SCALES["micro"])
    names = [cell.name for cell in cells]

    with pytest.raises(KeyboardInterrupt):
        command._run_cells(setting, cells, len(cells))
    assert stand_ins == ["roberta-mezo-8", *names[:3], "stop"]
    assert [cell.name for cell in unfinished(setting, cells)] == names[2:]
    assert [path.name for path in (setting.out / "bundles").iterdir()] == ["roberta-mezo-8"]

    del stand_ins[:-1]
    command._run_cells(setting, unfinished(setting, cells), len(cells))
    ran = [name for name in stand_ins if name in names]
    assert ran == names[2:] and unfinished(setting, cells) == []
    # The bundle was still there; every bundle goes with its last cell.
    exported = [name for name in stand_ins[1:] if name not in names]
    assert exported == ["roberta-mezo-adam-8", "roberta-mezo-adam-320", "opt-mezo-8"]
    assert list((setting.out / "bundles").iterdir()) == []


def test_a_cell_without_its_result_is_not_finished_and_forgetting_removes_all(setting):
    cell = cells_of(SCALES["micro"])[0]
    for folder in ("cells", "runs"):
        (setting.out / folder / cell.name).mkdir(parents=True)
        (setting.out / folder / cell.name / "begun").write_text("")
    assert finished(setting.out, cell) is None

    forget(setting.out, cell)

    assert [path.name for path in setting.out.glob("*/*")] == []
    forget(setting.out, cell)  # of what is not there


def config_of(out, **changes):
    setting = Setting(out, SCALES["micro"].models, frozenset(), 10**9, threads=1)
    return command._config("micro", setting) | changes


def test_a_folder_of_another_reproduction_is_refused_with_what_differs(tmp_path):
    config = config_of(tmp_path)
    command._check_folder(tmp_path, config)  # empty: free
    write_json(tmp_path / "reproduction.json", config)
    command._check_folder(tmp_path, json.loads(json.dumps(config)))

    versions = config["machine"]["versions"] | {"numpy": "0.9"}
    other = config | {"scale": "base", "machine": config["machine"] | {"versions": versions}}
    with pytest.raises(InputError) as error:
        command._check_folder(tmp_path, other)
    was = config["machine"]["versions"]["numpy"]
    assert str(error.value) == (
        f"{tmp_path}: holds a reproduction with another config (scale 'micro' -> 'base', "
        f"machine.versions.numpy {was!r} -> '0.9'); choose another --out"
    )


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="exists and holds no reproduction; choose another --out"):
        command._check_folder(tmp_path, config_of(tmp_path))
    with pytest.raises(InputError, match="exists and holds no reproduction"):
        path = tmp_path / "notes.txt"
        command._check_folder(path, config_of(path))


@pytest.mark.desktop
def test_help_names_scales_limits_and_every_cell():
    done = pocketllm("reproduce", "--help")

    assert done.returncode == 0
    assert all(f"\n  {name}\n" in done.stdout for name in CELLS)
    assert "large    roberta-large, opt-1.3b" in done.stdout and "12e9 bytes" in done.stdout
    assert "reproduce" in pocketllm("--help").stdout


@pytest.mark.desktop
@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ([], "--out is missing"),
        (["--out=o", "--scale=huge"], "--scale=huge: value should be one of"),
        (["--out=o", "--cells=adam"], "--cells: no cell 'adam', expected some of pocketllm-rob"),
        (["--out=o", "--model=nowhere"], "nowhere/config.json: No such file"),
        (["--out=o", "--threads=257"], "--threads=257: "),
    ],
)
def test_bad_flags_are_one_line_and_write_nothing(flags, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    complaint(pocketllm("reproduce", *flags), 2, problem)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.desktop
def test_a_checkpoint_of_another_size_or_one_too_many_is_refused(tmp_path, monkeypatch):
    from pocketllm.tflite_models.presets import MICRO

    monkeypatch.chdir(tmp_path)
    out = ["reproduce", "--out=o"]
    of_base = [*out, "--scale=base", f"--model={MICRO}"]
    expected = "hidden_size is 128, expected 768 as in roberta-base; choose another --scale"
    complaint(pocketllm(*of_base), 2, f"{MICRO}/config.json: {expected}")
    twice = [*out, f"--model={MICRO}", f"--model={MICRO}"]
    complaint(pocketllm(*twice), 2, "are both roberta models")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.desktop
def test_a_checkpoint_of_an_architecture_that_the_paper_lacks_is_refused(
    tmp_path, monkeypatch, capfd
):
    masked_only = replace(SCALES["micro"], models={"roberta": "roberta-micro"})
    monkeypatch.setitem(SCALES, "micro", masked_only)

    code = cli.main(["reproduce", f"--out={tmp_path / 'o'}", f"--model={OPT_MICRO}"])

    lines = capfd.readouterr().err.splitlines()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"pocketllm reproduce: error: {OPT_MICRO}/config.json: ")
    assert "model_type is opt, the paper's models are roberta; give a checkpoint" in lines[0]
    assert list(tmp_path.iterdir()) == []
