"""A tokenizer.json over which `tokenizers` panics while a bundle is exported is named by its path."""

import json
import shutil

import pytest

from pocketllm.export.checkpoint.tokenizer_files import naming_files
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop

# A pattern that never comes to an end on many letters: the library panics where it meets a text.
ENDLESS = {"type": "Split", "pattern": {"Regex": "(([a-zĠ ]+)+)+$|(.*.*.*.*.*.*)*X"}}


class PanicException(BaseException):  # noqa: N818, the library's name
    """What Rust code raises, by its name."""


@pytest.mark.parametrize("error", [PanicException("retry-limit"), Exception("Missing [UNK]")])
def test_what_the_library_raises_names_the_file_or_the_folder(error, tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: `tokenizers` .* fails on it \("):
        with naming_files(tmp_path):
            raise error
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=rf"{tmp_path}/tokenizer.json: .*\({error}\); copy it"):
        with naming_files(tmp_path):
            raise error


@pytest.mark.parametrize("error", [InputError("a"), ValueError("b"), KeyboardInterrupt()])
def test_other_errors_pass(error, tmp_path):
    with pytest.raises(type(error)), naming_files(tmp_path):
        raise error


def test_an_export_names_the_checkpoints_own_file(make_checkpoint, tmp_path):
    from pocketllm.export.api import export

    folder = tmp_path / "checkpoint"
    shutil.copytree(make_checkpoint(), folder)
    values = {"vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}}
    model = {"type": "WordLevel", "unk_token": "absent"} | values
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                 "normalizer": None, "pre_tokenizer": None, "post_processor": None,
                 "decoder": None, "model": model}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(InputError, match=rf"{folder}/tokenizer.json: `tokenizers` .*\n?") as caught:
        export(folder, tmp_path / "bundle", task="sst2")

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()
