"""A tokenizer.json that the library refuses or panics over is one line that names the file."""

import json
import shutil

import pytest
from bundle_json import rewrite
from small_runs import complaint, pocketllm, write_tsv

from pocketllm.runtime.data.tokenizer import load_tokenizer, tokenising
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import sha256_of

# Both panic inside the library: a table that it cannot read, a pattern that never comes to an end.
UNREADABLE = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}}
ENDLESS = {
    "pre_tokenizer": {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
}


@pytest.fixture
def spoiled(golden_bundle, tmp_path):
    """Writes the committed bundle's tokenizer.json with changes; returns its path."""

    def write(changes):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads(golden_bundle.tokenizer_path.read_text()) | changes))
        return path

    return write


def test_a_panic_while_it_is_loaded(spoiled):
    path = spoiled(UNREADABLE)
    with pytest.raises(InputError, match="tokenizer.json: found no readable tokenizer .*charsmap"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (ENDLESS, "retry-limit"),
        (
            {"model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "",
                       "max_input_chars_per_word": 100, "vocab": {"b": 0}}},
            r"Missing \\[UNK\\]|Missing",
        ),
    ],
    ids=["panic", "error"],
)  # fmt: skip
def test_a_failure_on_a_text_names_tokenizer_and_data(changes, reason, spoiled):
    tokenizer = load_tokenizer(spoiled(changes))
    message = rf"tokenizer.json: the tokenizer failed on a text of data.tsv \(.*({reason})"
    with pytest.raises(InputError, match=message), tokenising("tokenizer.json", "data.tsv"):
        tokenizer.encode("a" * 200 + "!")


def test_other_errors_pass():
    for error in (InputError("a"), ValueError("b"), KeyboardInterrupt()):
        with pytest.raises(type(error)), tokenising("tokenizer.json", "data.tsv"):
            raise error


@pytest.mark.parametrize("changes", [UNREADABLE, ENDLESS], ids=["loaded", "called"])
def test_a_command_ends_with_one_line(changes, golden_bundle, spoiled, tmp_path):
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    path = spoiled(changes).replace(folder / "tokenizer.json")
    entry = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    rewrite(folder, lambda values: values["files"].update({path.name: entry}))
    data = write_tsv(tmp_path / "data.tsv", [("a" * 200 + "!", 1)])

    done = pocketllm("eval", f"--bundle={folder}", f"--data={data}")

    complaint(done, 2, f"{folder}/tokenizer.json: ")
