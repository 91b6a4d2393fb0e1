"""A checkpoint written as GGUF is the same when it is read; what would not be is refused."""

import json
import subprocess
import sys

import llama_cpp_cases
import numpy as np
import pytest
from gguf_files import AWKWARD, CHAT_TEMPLATE

pytestmark = pytest.mark.desktop
# What a file does not hold: how transformers names and loads a model.
UNSAID = ("transformers_version", "dtype", "use_cache", "initializer_range", "layer_types")


@pytest.fixture(scope="module")
def to_gguf():
    return llama_cpp_cases.example("to_gguf")


def command(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, llama_cpp_cases.EXAMPLES / "to_gguf.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def read_back(path):
    from pocketllm.export.checkpoint.gguf.model import read_gguf

    return read_gguf(path)


def tensors_of(checkpoint):
    from safetensors.numpy import load_file

    return load_file(checkpoint / "model.safetensors")


@pytest.fixture(scope="module", params=llama_cpp_cases.CASES)
def written(request, to_gguf, tmp_path_factory):
    """A checkpoint, and the file of its float32 values."""
    folder = tmp_path_factory.mktemp("to_gguf")
    checkpoint = llama_cpp_cases.write(folder / "checkpoint", request.param)
    to_gguf.write_gguf(checkpoint, folder / "out.gguf", "f32")
    return checkpoint, folder / "out.gguf"


def test_every_tensor_is_read_back_bit_for_bit(written):
    checkpoint, path = written
    expected, weights = tensors_of(checkpoint), read_back(path).open_weights()

    assert set(weights.shapes) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(weights.read(name), values, name)


def test_the_config_is_read_back(written):
    from transformers import AutoConfig

    checkpoint, path = written
    (checkpoint / "again").mkdir()
    (checkpoint / "again" / "config.json").write_bytes(read_back(path).files["config.json"])
    expected = AutoConfig.from_pretrained(checkpoint).to_dict()
    values = AutoConfig.from_pretrained(checkpoint / "again").to_dict()

    for key in set(expected) - set(UNSAID) - {"_name_or_path", "max_window_layers"}:
        assert values.get(key) == pytest.approx(expected[key]), key


def test_texts_have_the_same_ids_and_chats_the_same_text(written):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    checkpoint, path = written
    files, expected = read_back(path).files, AutoTokenizer.from_pretrained(checkpoint)
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())

    for text in AWKWARD:
        assert tokenizer.encode(text).ids == expected(text).input_ids, text
    assert json.loads(files["tokenizer_config.json"])["chat_template"] == CHAT_TEMPLATE
    assert json.loads(files["generation_config.json"])["eos_token_id"] == expected.eos_token_id


@pytest.mark.parametrize(("kind", "tolerance"), [("f16", 2**-11), ("q8_0", 1 / 254 + 2**-11)])
def test_smaller_files_hold_each_matrix_to_their_precision(kind, tolerance, to_gguf, tmp_path):
    checkpoint = llama_cpp_cases.write(tmp_path / "checkpoint", "llama, as SmolLM2")
    to_gguf.write_gguf(checkpoint, tmp_path / "out.gguf", kind)
    weights = read_back(tmp_path / "out.gguf").open_weights()

    for name, values in tensors_of(checkpoint).items():
        error = np.abs(weights.read(name) - values).max()
        if values.ndim == 1:
            assert error == 0
        else:
            assert 0 < error <= 1.01 * tolerance * np.abs(values).max(), name


CHANGES = {
    "model_type": ({"model_type": "smollm3"}, "model_type is 'smollm3', implemented: llama, "),
    "hidden_act": ({"hidden_act": "gelu"}, "hidden_act is 'gelu', implemented: silu"),
    "rope": (
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}},
        "rope_type is 'yarn', implemented: default, linear, llama3",
    ),
    "untied": ({"tie_word_embeddings": False}, "without lm_head.weight"),
    "fewer rows": ({"vocab_size": 200}, "the embeddings have 200 rows"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_would_come_out_another_is_refused_in_one_line(change, to_gguf, tmp_path):
    checkpoint = llama_cpp_cases.write(tmp_path / "checkpoint", "llama, as SmolLM2")
    changes, reason = CHANGES[change]
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    refused(to_gguf, tmp_path, reason)


def _other_pre_tokenizer(values):
    values["pre_tokenizer"] = {"type": "Whitespace"}


def _token_with_spaces(values):
    values["added_tokens"][0]["lstrip"] = True


def _other_frame(values):
    token = {"id": "<|endoftext|>", "type_id": 0}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": token}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_pre_tokenizer, "pre-tokenizer [{\"type\": \"Whitespace\"}]"),
        (_token_with_spaces, "token '<|endoftext|>' takes spaces beside it"),
        (_other_frame, "framed by other tokens than bos and eos"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(change, reason, to_gguf, tmp_path):
    checkpoint = llama_cpp_cases.write(tmp_path / "checkpoint", "llama, as SmolLM2")
    path = checkpoint / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")

    refused(to_gguf, tmp_path, reason)


def refused(to_gguf, folder, reason):
    """Asserts one line that holds the reason, and that no file was written."""
    with pytest.raises(to_gguf.Refused) as error:
        to_gguf.write_gguf(folder / "checkpoint", folder / "out.gguf", "f16")
    assert reason in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in folder.iterdir()] == ["checkpoint"]


def test_the_command_writes_16_bits_unless_told_and_ends_with_one_line(tmp_path):
    checkpoint = llama_cpp_cases.write(tmp_path / "checkpoint", "llama, as SmolLM2")
    adapter = tmp_path / "adapter"
    adapter.mkdir()

    done, wrong = command(checkpoint, tmp_path / "out.gguf"), command(adapter, tmp_path / "no.gguf")

    assert done.returncode == 0 and done.stdout.startswith(f"{tmp_path / 'out.gguf'}: "), done
    values = tensors_of(checkpoint)["model.layers.1.mlp.up_proj.weight"]
    weights = read_back(tmp_path / "out.gguf").open_weights()
    expected = values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(weights.read("model.layers.1.mlp.up_proj.weight"), expected)
    reason = "without config.json; merge an adapter into its base first"
    assert (wrong.returncode, wrong.stderr) == (1, f"error: {adapter}: {reason}\n")
    assert not (tmp_path / "no.gguf").exists()


def test_patterns_are_those_of_transformers_own_tokenizers(to_gguf):
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from transformers.models.qwen2 import tokenization_qwen2

    ways = sys.modules[to_gguf.add_tokenizer.__module__].WAYS
    patterns = {name: steps[0].get("pattern") for name, (_, steps, _) in ways.items()}

    assert patterns["qwen2"] == {"Regex": tokenization_qwen2.PRETOKENIZE_REGEX}
    assert patterns["llama-bpe"] == {"Regex": TikTokenConverter("").pattern}
