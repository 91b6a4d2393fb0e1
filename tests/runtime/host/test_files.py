"""Files and folders are whole or not there, and nothing is left beside them."""

import pytest

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import (
    path_beside,
    read_json,
    write_json,
    written_beside,
)
from pocketllm.runtime.host.folders import check_replaceable, staged


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_its_folder_is_made(tmp_path):
    path = tmp_path / "new" / "file"
    with path_beside(path) as beside:
        beside.write_bytes(b"whole")
        assert not path.exists()

    assert path.read_bytes() == b"whole" and names_in(path.parent) == ["file"]


def test_a_block_that_fails_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyError), written_beside(path) as file:
        file.write(b"half")
        raise KeyError

    assert path.read_bytes() == b"before" and names_in(tmp_path) == ["file"]


def test_an_error_of_the_system_is_one_line_with_what_to_do(tmp_path):
    path = tmp_path / "file"
    message = "file: cannot be written: .*; what was there before stays"
    with pytest.raises(RunError, match=message), path_beside(path) as beside:
        beside.unlink()

    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; give one"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a JSON list, expected an object; give one"),
    ],
    ids=["missing", "cut", "bytes", "deep", "list"],
)
def test_what_is_no_json_object_is_named(content, message, tmp_path):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"file.json: {message}"):
        read_json(path, "give one")


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"text": "größer", "numbers": [1, 0.1], "nested": {"none": None}}
    write_json(tmp_path / "file.json", value)

    assert read_json(tmp_path / "file.json", "") == value


def test_a_folder_appears_when_the_block_ends_and_replaces_the_old_one(tmp_path):
    out = tmp_path / "out"
    for content in ("first", "second"):
        with staged(out) as beside:
            (beside / "file").write_text(content)
        assert (out / "file").read_text() == content

    with pytest.raises(KeyError), staged(out) as beside:
        (beside / "file").write_text("third")
        raise KeyError
    assert (out / "file").read_text() == "second" and names_in(tmp_path) == ["out"]


def test_a_folder_with_a_foreign_file_is_never_replaced(tmp_path):
    check_replaceable(tmp_path / "free", force=False)
    (tmp_path / "model.tflite").touch()
    with pytest.raises(InputError, match="exists already"):
        check_replaceable(tmp_path, force=False)
    check_replaceable(tmp_path, force=True)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds 'thesis.tex', which is no part of a bundle"):
        check_replaceable(tmp_path, force=True)
