"""A bundle that is not what it says: refused with one error that names the file."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from bundle_json import rewrite, update

from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.manifest import read_bundle, read_noise
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.runtime.tasks.codec import to_json

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def folder(golden_bundle, tmp_path):
    """A copy of the committed bundle, to damage."""
    return shutil.copytree(golden_bundle.folder, tmp_path / "bundle")


@pytest.fixture(scope="session")
def manifest(golden_bundle):
    """What the committed bundle.json says."""
    return json.loads((golden_bundle.folder / "bundle.json").read_text())


def special(**changes) -> dict:
    """Returns the special tokens of a bundle.json."""
    return {"bos": 0, "eos": 2, "pad": 1, "mask": 4} | changes


def refused(folder, **how) -> str:
    """Returns the message, which must be one line, of the error that refuses the bundle."""
    with pytest.raises(InputError) as error:
        read_bundle(folder, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unharmed_copy_is_read(folder, golden_bundle):
    bundle = read_bundle(folder)

    assert bundle.checksum == golden_bundle.checksum
    assert bundle.variables == golden_bundle.variables
    assert read_noise(bundle).table.tobytes() == read_noise(golden_bundle).table.tobytes()


def test_variables_are_in_stream_order_and_cover_their_parameters(golden_bundle):
    assert [v.stream for v in golden_bundle.variables] == list(range(len(golden_bundle.variables)))
    for parameter in golden_bundle.parameters:
        rows = [v.rows for v in parameter.variables if v.rows]
        if rows:
            ends = [0, *(last for _, last in rows)]
            assert rows == list(pairwise(ends)) and ends[-1] == parameter.shape[0]


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_another_format_version_is_refused(version, folder):
    update(folder, format_version=version)

    message = refused(folder)

    assert f"bundle format {version!r}, this runtime reads format 2" in message
    assert "export the bundle again" in message


@pytest.mark.parametrize("name", ["bundle.json", "model.tflite", "tokenizer.json"])
def test_a_missing_file_is_named(name, folder):
    (folder / name).unlink()

    assert f"{folder / name}: No such file or directory" in refused(folder)


@pytest.mark.parametrize("name", ["model.tflite", "tokenizer.json"])
@pytest.mark.parametrize("place", [0, -1, 0.5], ids=["first", "last", "middle"])
def test_an_altered_byte_is_found(name, place, folder):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[place if isinstance(place, int) else len(data) // 2] ^= 1
    path.write_bytes(data)

    message = refused(folder)

    assert str(path) in message and "sha256" in message and "altered" in message
    assert read_bundle(folder, verify=False).folder == folder


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n"])
def test_a_file_of_another_size_is_refused_with_both_sizes(change, folder):
    path = folder / "tokenizer.json"
    size = path.stat().st_size
    path.write_bytes(change(path.read_bytes()))

    assert f"{path}: {path.stat().st_size} bytes, expected {size}" in refused(folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a JSON list, expected an object"),
        (b"null", "a JSON NoneType, expected an object"),
        (b"{}", "bundle format None"),
    ],
    ids=["empty", "cut", "binary", "deep", "list", "null", "no-keys"],
)
def test_a_manifest_that_is_no_object_is_refused(content, problem, folder):
    (folder / "bundle.json").write_bytes(content)

    message = refused(folder)

    assert str(folder / "bundle.json") in message and problem in message


def test_every_key_that_the_runtime_reads_is_named_when_missing(folder, manifest):
    unread = {"ignored_tensors", "checksum"}
    optional = {"chat", "context", "stop_ids"}  # no bundle of before they came has them
    needed = set(manifest) - unread - optional - {"format_version"}
    assert {"model_name", "task", "lengths", "parameters", "signatures", "files"} <= needed
    for key in needed:
        values = {name: value for name, value in manifest.items() if name != key}
        write_with_checksum(folder / "bundle.json", values)

        assert f"missing '{key}'" in refused(folder)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"noise": {"kind": "lowrank"}}, "unknown noise kind 'lowrank'"),
        ({"lengths": []}, "lengths [] are not ascending"),
        ({"lengths": [12, 8]}, "lengths [12, 8] are not ascending"),
        ({"lengths": [8, 9]}, "missing 'forward_loss_9'"),
        ({"batch_size": 0}, "batch_size and slices must be positive"),
        ({"slices": 0}, "batch_size and slices must be positive"),
        ({"batch_size": "many"}, "batch_size is 'many', expected int"),
        ({"batch_size": float("inf")}, "not JSON compliant"),
        ({"files": {}}, "missing 'model.tflite'"),
        ({"style": "prefix"}, "found the style 'prefix', expected masked or causal"),
        ({"style": "causal"}, "task: found an object of"),
        ({"scoring": "all"}, "unknown scoring 'all'"),
        ({"scoring": ["words"]}, "scoring is ['words'], expected str"),
        ({"scoring": "options"}, "scoring 'options' of a task with one row for all words"),
        ({"word_ids": [1]}, "1 word_ids for 2 words"),
        ({"max_tokens": 11}, "max_tokens 11 is below the longest of the lengths"),
        ({"default_eps": 0}, "default_eps 0.0 is not positive"),
        ({"default_eps": float("nan")}, "not JSON compliant"),
        ({"special_tokens": {"bos": 0}}, "special_tokens is {'bos': 0}, expected object"),
        ({"special_tokens": special(mask="4")}, "special_tokens.mask is '4', expected int"),
        ({"special_tokens": special(eos=None, mask=None)}, "special_tokens without mask"),
        ({"special_tokens": special(pad=-1)}, "special_tokens with ids of pad not in 0 to 283"),
        ({"signatures": []}, "signatures is [], expected dict"),
    ],
    ids=lambda value: str(value).replace("/", " ")[:40],
)
def test_values_that_cannot_be_are_refused(change, problem, folder):
    update(folder, **change)

    assert problem in refused(folder)


@pytest.mark.parametrize(("signature", "side"), [("read_0", "outputs"), ("write_0", "inputs")])
def test_a_slice_that_moves_more_than_its_variables_is_refused(signature, side, folder):
    name = "lm_head.layer_norm.bias"

    def enlarge(values):
        values["signatures"][signature][side][name] = ["float32", [2**31 - 1, 2**20]]

    rewrite(folder, enlarge)

    assert f"{name} of float32 [2147483647, 1048576] of signature '{signature}'" in refused(folder)


def options(scoring, name, word_ids=(), option_tokens=3):
    """Returns what bundle.json says of a causal model that scores options."""
    return {
        "style": "causal", "task": to_json(TASKS[name]), "scoring": scoring,
        "word_ids": list(word_ids), "option_tokens": option_tokens,
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        options("words", "sst2", (5, 6), 0),
        options("options", "sst2"),
        options("gold", "copa"),
        options("gold", "record"),
    ],
    ids=lambda values: values["scoring"],
)
def test_a_bundle_of_options_says_how_it_scores_them(values, folder):
    update(folder, **values)

    bundle = read_bundle(folder)

    assert (bundle.style, bundle.scoring) == ("causal", values["scoring"])
    assert bundle.option_tokens == values["option_tokens"]
    assert bundle.task in TASKS.values()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (options("gold", "sst2"), "scoring 'gold' of a task with words"),
        (options("options", "copa"), "scoring 'options' of a task with words []"),
        (options("options", "sst2", (5, 6)), "2 word_ids for 2 words"),
        (options("options", "sst2", (), 0), "option_tokens 0 is not positive"),
        (options("gold", "copa", (), -1), "option_tokens -1 is not positive"),
    ],
    ids=str,
)
def test_a_scoring_that_does_not_go_with_the_task_is_refused(values, problem, folder):
    update(folder, **values)

    assert problem in refused(folder)


def test_a_bundle_from_before_there_were_styles_is_to_be_exported_again(folder):
    # written by an export of then: it has a `family`, and a `seal` for a checksum
    shutil.copyfile(GOLDEN / "old_bundle.json", folder / "bundle.json")

    assert refused(folder) == (
        f"{folder / 'bundle.json'}: bundle format 1, this runtime reads format 2; export "
        "the bundle again with `pocketllm export`"
    )


def test_a_bundle_without_what_describes_the_model_is_to_be_exported_again(folder):
    def without(values):
        for key in ("style", "architecture", "special_tokens", "max_tokens", "default_eps"):
            del values[key]

    rewrite(folder, without)

    assert refused(folder) == (
        f"{folder / 'bundle.json'}: not a valid bundle (missing 'style'); export the bundle again "
        "with `pocketllm export`"
    )


@pytest.mark.parametrize("offset", [-64, 1 << 40, None])
@pytest.mark.parametrize("of_noise", [False, True])
def test_values_that_lie_outside_the_model_file_are_refused(of_noise, offset, folder):
    def change(values):
        where = values["noise"] if of_noise else values["parameters"][-1]["variables"][0]
        where["offset"] = offset

    rewrite(folder, change)

    assert "bundle.json: not a valid bundle" in refused(folder)


def test_a_noise_table_that_no_word_could_index_is_refused(folder):
    rewrite(folder, lambda values: values["noise"].update(rows=96))

    assert "96 rows, which is no power of two" in refused(folder)


@pytest.mark.parametrize("name", ["../model.tflite", "/etc/hostname", "a/b", "..", ".", "a\0b"])
def test_a_file_name_that_leaves_the_folder_is_refused(name, folder):
    (folder.parent / "model.tflite").write_bytes(b"")
    rewrite(folder, lambda values: values["files"].update({name: {"bytes": 0, "sha256": ""}}))

    message = refused(folder)

    assert repr(name) in message and "leaves the bundle's folder" in message


@pytest.mark.parametrize(
    "entry", [None, 5, [], {}, {"bytes": 3}, {"sha256": "0"}, {"bytes": "3", "sha256": 0}], ids=str
)
@pytest.mark.parametrize("name", ["model.tflite", "extra.bin"])
def test_a_file_entry_that_says_too_little_is_refused(name, entry, folder):
    (folder / "extra.bin").write_bytes(b"abc")
    rewrite(folder, lambda values: values["files"].update({name: entry}))

    refused(folder)
