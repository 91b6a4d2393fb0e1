"""What the fuzzer runs: the readers take real files, and no error of theirs is hidden."""

import pytest
from small_runs import zeroth_order_config

from pocketllm.benchmarks.torture.edited_json import edited
from pocketllm.benchmarks.torture.fuzz import TARGETS, reader, refusing, seeds, with_checksums
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.loop import train

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture(params=["mezo", "fzoo"])
def run(request, golden_bundle, train_data, open_ready, monkeypatch, tmp_path):
    """A run of 6 steps with snapshots."""
    monkeypatch.setattr("pocketllm.runtime.run.journalled.snapshot_due", lambda *_: True)
    model, folder = open_ready(golden_bundle, "litert"), tmp_path / "run"
    train(model, train_data, folder, zeroth_order_config(request.param, golden_bundle, train_data))
    return folder


@pytest.mark.parametrize("target", TARGETS)
def test_real_files_and_what_is_left_of_them_are_read_without_another_error(
    target, golden_bundle, run, train_file, tmp_path
):
    (tmp_path / "work").mkdir()
    read = reader(target, golden_bundle.folder, tmp_path / "work")
    inputs = list(seeds(target, golden_bundle.folder, run, [train_file]))
    assert len(inputs) >= 2

    for data in inputs:
        for length in (*range(20), len(data) // 2, len(data) - 1, len(data)):
            read(data[:length])


def test_only_the_projects_own_errors_are_refusals():
    for refusal in (InputError("no"), RunError("no")):
        refusing(lambda choice, data, refusal=refusal: _raise(refusal))(b"\0abc")
    with pytest.raises(KeyError):
        refusing(lambda choice, data: _raise(KeyError("no")))(b"\0abc")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", {"a": [1, {"b": 2}]}),
        (b"\xff\x01", True),
        (b"\x00\x01\x00\x00", {"a": [1, {"b": None}]}),
        (b"\x00\x00\x01", {"a": [True, {"b": 2}]}),
        (b"\x00\xff\x10", {"a": []}),
        (b"\x00\x00\x01\x00\x01\xff\x02", {"a": [True, False]}),
    ],
)
def test_bytes_name_the_parts_of_a_tokenizer_that_are_replaced(data, value):
    sound = {"a": [1, {"b": 2}]}

    assert edited(sound, data) == value and sound == {"a": [1, {"b": 2}]}


def test_an_altered_journal_gets_checksums_that_fit(run, tmp_path):
    data = bytearray((run / JOURNAL).read_bytes())
    assert with_checksums(bytes(data)) == data
    data[data.index(b'"seed": 0') + 8] += 3
    (tmp_path / JOURNAL).write_bytes(data)
    with pytest.raises(InputError, match="header is damaged"):
        read_journal(tmp_path / JOURNAL)

    (tmp_path / JOURNAL).write_bytes(with_checksums(bytes(data)))
    journal = read_journal(tmp_path / JOURNAL)
    assert journal.header["seed"] == 3 and len(journal.steps) == 6


def _raise(error):
    raise error
