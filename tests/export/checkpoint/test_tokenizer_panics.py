"""A tokenizer.json over which `tokenizers` panics during an export is named by its path."""

import pytest

from pocketllm.export.checkpoint.tokenizer_files import naming_files
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop


class PanicException(BaseException):
    """What Rust code raises, by its name."""


@pytest.mark.parametrize("error", [PanicException("retry-limit"), Exception("Missing UNK")])
def test_what_the_library_raises_names_the_file_or_the_folder(error, tmp_path):
    with (
        pytest.raises(InputError, match=rf"{tmp_path}: `tokenizers` .* fails on it \("),
        naming_files(tmp_path),
    ):
        raise error
    (tmp_path / "tokenizer.json").write_text("{}")
    message = rf"{tmp_path}/tokenizer.json: .*\({error}\); copy it"
    with pytest.raises(InputError, match=message), naming_files(tmp_path):
        raise error


@pytest.mark.parametrize("error", [InputError("a"), ValueError("b"), KeyboardInterrupt()])
def test_other_errors_pass(error, tmp_path):
    with pytest.raises(type(error)), naming_files(tmp_path):
        raise error


def test_an_export_names_the_checkpoints_own_folder(make_checkpoint, tmp_path, monkeypatch):
    from pocketllm.export import api

    def panic(*_):
        raise PanicException("retry-limit-in-match over")

    folder = make_checkpoint()
    monkeypatch.setattr(api, "special_spellings", panic)

    with pytest.raises(InputError, match="retry-limit-in-match over") as caught:
        api.export(folder, "sst2", tmp_path / "bundle")

    assert str(caught.value).startswith(f"{folder}: `tokenizers` ")
    assert not (tmp_path / "bundle").exists()
