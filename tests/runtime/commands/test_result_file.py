"""The file of `--json` is refused before the work where it cannot be written."""

import json

import pytest
from small_runs import complaint, pocketllm

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def train(golden_bundle, train_file, tmp_path):
    """Runs two steps of `pocketllm train`, and writes the result to a path."""

    def run(json):
        flags = {
            "bundle": golden_bundle.folder, "train": train_file, "run": tmp_path / "run",
            "steps": 2, "threads": 1, "json": json,
        }  # fmt: skip
        return pocketllm("train", *(f"--{name}={value}" for name, value in flags.items()))

    return run


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", ": a folder, expected a file to write"),
        ("some/folder", ": a folder, expected a file to write"),
        ("run", "--run is there too"),
        ("run/journal", "--run keeps its own files there"),
        ("run/config.json", "--run keeps its own files there"),
        ("run/deeper/e.json", "--run keeps its own files there"),
        ("file/e.json", "e.json: cannot be written: Not a directory"),
        ("e" * 250, ": cannot be written: File name too long"),  # nor the file beside it
    ],
)
def test_a_result_that_cannot_be_written_is_refused_before_the_work(path, text, train, tmp_path):
    (tmp_path / "some" / "folder").mkdir(parents=True)
    (tmp_path / "file").write_text("")

    complaint(train(json=tmp_path / path), 2, f"{tmp_path / path}", text, "choose another path")
    assert not (tmp_path / "run").exists()


def test_a_result_is_not_written_where_nothing_can_be(train):
    for path in ("/dev/null/e.json", "/dev/null", "/proc/e.json"):
        complaint(train(json=path), 2, f"{path}: ", "choose another path")


def test_a_result_is_not_written_over_a_file_that_is_read(train, train_file, golden_bundle):
    complaint(train(json=train_file), 2, f"--json={train_file}: --train is there too")
    for path in sorted(golden_bundle.folder.iterdir()):
        before = path.read_bytes()
        complaint(train(json=path), 2, f"--json={path}: --bundle keeps its own files there")
        assert path.read_bytes() == before


def test_a_result_may_stand_in_a_runs_folder(train, tmp_path):
    assert train(json=tmp_path / "run" / "result.json").returncode == 0
    assert (tmp_path / "run" / "journal").exists() and (tmp_path / "run" / "result.json").exists()


def test_the_folder_of_a_result_is_made(train, tmp_path):
    path = tmp_path / "new" / "folder" / "e.json"

    assert train(json=path).returncode == 0
    assert json.loads(path.read_text())["last_step"] == 2
    assert [file.name for file in path.parent.iterdir()] == ["e.json"]
