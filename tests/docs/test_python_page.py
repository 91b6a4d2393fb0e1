"""docs/guide/python.md: its programs run, its tables have the public names."""

import re

import pages
import pytest
from small_runs import python

import pocketllm.runtime
from pocketllm.runtime import read_bundle

pytest_plugins = ["runtime_fixtures"]

PAGE = (pages.ROOT / "docs" / "guide" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def names(golden_bundle, train_file, dev_file, tmp_path, monkeypatch):
    """What the page's program defines, run where its files are."""
    for name, path in (("mine", golden_bundle.folder), (train_file.name, train_file),
                       (dev_file.name, dev_file)):  # fmt: skip
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(programs()[0], names)
    return names


def programs():
    """Returns the page's programs: one trains, one steps by itself behind it, one exports."""
    return re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_the_pages_program_trains_and_replays_to_the_same_bits(names, capsys):
    trained, replayed = dict(names["model"].read()), dict(names["again"].read())
    before = names["open_model"](names["bundle"])
    before.initialize()

    assert all((trained[name] == replayed[name]).all() for name in trained)
    assert any((trained[name] != values).any() for name, values in before.read())


def test_the_steps_that_the_pages_program_notes_are_replayed_to_the_same_bits(names, capsys):
    exec(programs()[1], names)
    noted, replayed = dict(names["model"].read()), dict(names["again"].read())

    assert len(names["steps"]) == 5
    assert all((noted[name] == replayed[name]).all() for name in noted)


@pytest.mark.desktop
def test_the_pages_program_exports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = python(programs()[2])  # TensorFlow would stay in this process

    assert done.returncode == 0, done.stderr
    full, lora = read_bundle("mine"), read_bundle("lora")
    assert (full.tune, lora.tune, lora.base, lora.lengths) == ("full", "lora", "int8", (32, 64))


def test_the_table_has_the_public_names():
    table = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| ([^|]+) \|", PAGE, re.M))))

    assert table == set(pocketllm.runtime.__all__)
