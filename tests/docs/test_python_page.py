"""docs/guide/python.md: its program runs, its table has the public names."""

import re

import pages
import pytest

import pocketllm.runtime

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
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], names)
    return names


def test_the_pages_program_trains_and_replays_to_the_same_bits(names, capsys):
    trained, replayed = dict(names["model"].read()), dict(names["again"].read())
    before = names["open_model"](names["bundle"])
    before.initialize()

    assert all((trained[name] == replayed[name]).all() for name in trained)
    assert any((trained[name] != values).any() for name, values in before.read())


def test_the_table_has_the_public_names():
    table = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| ([^|]+) \|", PAGE, re.M))))

    assert table == set(pocketllm.runtime.__all__)
