"""GGUF files that make no model are refused in one line that names the file, and say what to do."""

import struct

import numpy as np
import pytest
from checkpoint_files import refusal
from gguf_files import CONTROL, byte_level_vocabulary, plain_llama, write_gguf, write_plain_llama
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop
TOKENS, KINDS = byte_level_vocabulary()
MATRIX = np.zeros((32, 32), np.float32)


def read_all(path):
    """Reads a GGUF file with the values of all tensors."""
    from pocketllm.export.checkpoint.gguf.model import read_gguf

    weights = read_gguf(path).open_weights()
    return {name: weights.read(name) for name in weights.shapes}


def refused(path):
    """Returns the refusal's line without the file's name, which it must begin with."""
    message = refusal(read_all, path)
    assert message.startswith(f"{path}: ") and len(message) < 1500
    return message.removeprefix(f"{path}: ")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a sound file."""
    path = tmp_path_factory.mktemp("gguf") / "sound.gguf"
    write_plain_llama(path)
    read_all(path)
    return path.read_bytes()


METADATA = {
    "general.architecture of mamba": (
        {"general.architecture": "mamba"},
        "the architecture 'mamba' is not implemented for GGUF files, those that are: llama, qwen2,",
    ),
    "an adapter": ({"general.type": "adapter"}, "a LoRA adapter; merge it"),
    "a vision part": ({"general.type": "mmproj"}, "the vision part of a model (mmproj); give the"),
    "a part of three": (
        {"split.count": 3},
        "one of 3 parts of a model; join them (llama-gguf-split --merge tiny-00001-of-00003.gguf "
        "tiny.gguf)",
    ),
    "no head count": (
        {"llama.attention.head_count": None},
        "without metadata llama.attention.head_count; convert the model again",
    ),
    "a text for a number": (
        {"llama.context_length": "long"},
        "metadata llama.context_length is 'long', expected a positive whole number",
    ),
    "layers that differ": (
        {"llama.feed_forward_length": [64, 32]},
        "metadata llama.feed_forward_length is array([64, 32], dtype=int32), expected a positive",
    ),
    "another hidden size": (
        {"llama.embedding_length": 64},
        "tensor token_embd.weight is [267, 32], expected [267, 64] by the metadata",
    ),
    "another head count": ({"llama.attention.head_count": 5}, "has 32 rows for 5 heads"),
    "another width of a head": ({"llama.attention.key_length": 16}, "key_length is 16; expected"),
    "a head that rotates in part": ({"llama.rope.dimension_count": 4}, "dimension_count is 4;"),
    "more layers": ({"llama.block_count": 2}, "without tensors blk.1.attn_norm.weight, "),
    "experts": ({"llama.expert_count": 8}, "llama.expert_count is 8, only 0 is implemented"),
    "scaled embeddings": ({"llama.embedding_scale": 12.0}, "only 0.0 is implemented"),
    "its own attention scale": ({"llama.attention.scale": 0.5}, "only 8**-0.5 is implemented"),
    "an unknown rope": (
        {"llama.rope.scaling.type": "longrope"},
        "rope of the kind 'longrope', implemented are none, linear, yarn and Llama 3's",
    ),
    "no theta": ({"llama.rope.freq_base": 0.0}, "metadata llama.rope.freq_base is 0.0, expected"),
    "an unknown pre-tokenizer": (
        {"tokenizer.ggml.pre": "kimi-k9"},
        "a byte-level tokenizer with the pre-tokenizer 'kimi-k9', implemented are gpt-2, ",
    ),
    "no pre-tokenizer": ({"tokenizer.ggml.pre": None}, "with no tokenizer.ggml.pre, implemented"),
    "another kind of tokenizer": (
        {"tokenizer.ggml.model": "bert"},
        "a tokenizer of the kind 'bert', implemented are gpt2, llama",
    ),
    "fewer tokens than rows": (
        {"tokenizer.ggml.tokens": TOKENS[:-1]},
        "266 tokens, and 267 rows of token_embd.weight",
    ),
    "a token twice": (
        {"tokenizer.ggml.tokens": [TOKENS[5], *TOKENS[1:]]},
        f"token {TOKENS[5]!r} has two ids",
    ),
    "fewer kinds": ({"tokenizer.ggml.token_type": KINDS[:-1]}, "a number for each of 267 tokens"),
    "no merges": ({"tokenizer.ggml.merges": None}, "metadata tokenizer.ggml.merges is None"),
    "a merge of one": ({"tokenizer.ggml.merges": ["he"]}, "pairs of tokens with a space"),
    "a merge of other tokens": ({"tokenizer.ggml.merges": ["h zz"]}, "make no tokenizer ("),
    "an id beyond the vocabulary": (
        {"tokenizer.ggml.eos_token_id": 267},
        "metadata tokenizer.ggml.eos_token_id is 267, expected the id of one of 267 tokens",
    ),
    "a frame without a token": (
        {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": None},
        "tokenizer.ggml.bos_token_id is missing",
    ),
    "a chat template that is a number": ({"tokenizer.chat_template": 3}, "expected a text"),
    "two kinds of rope": (
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0},
        "holds rope_freqs.weight and rope of the kind 'linear'",
    ),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_makes_no_model_is_refused(case, tmp_path):
    changes, words = METADATA[case]
    factors = {"rope_freqs.weight": np.array([1, 1, 2, 4], np.float32)}
    write_plain_llama(tmp_path / "tiny.gguf", changes, factors if "two kinds" in case else None)
    assert words in refused(tmp_path / "tiny.gguf")


TENSORS = {
    "one that is missing": (
        {"blk.0.attn_k.weight": None},
        "without tensors blk.0.attn_k.weight, which a model of LlamaForCausalLM with 1 layers has",
    ),
    "no embeddings": ({"token_embd.weight": None}, "without tensors token_embd.weight,"),
    "one of another model": (
        {"blk.0.attn_q_norm.weight": np.ones(8, np.float32)},
        "tensor 'blk.0.attn_q_norm.weight' is none of a LlamaForCausalLM with 1 layers",
    ),
    "one of a layer too many": (
        {"blk.1.attn_q.weight": MATRIX},
        "tensor 'blk.1.attn_q.weight' is none of",
    ),
    "one bias of four": (
        {"blk.0.attn_q.bias": np.zeros(32, np.float32)},
        "without tensors blk.0.attn_k.bias, blk.0.attn_v.bias, blk.0.attn_output.bias,",
    ),
    "another shape": (
        {"blk.0.ffn_up.weight": MATRIX},
        "tensor blk.0.ffn_up.weight is [32, 32], expected [64, 32] by the metadata",
    ),
    "numbers that are no weights": (
        {"output_norm.weight": np.ones(32, np.int32)},
        "tensor output_norm.weight is of the quantisation I32, implemented are F32, F16,",
    ),
    "rope factors of another length": (
        {"rope_freqs.weight": np.ones(8, np.float32)},
        "tensor rope_freqs.weight is [8], expected [4]",
    ),
    "rope factors that are not Llama 3's": (
        {"rope_freqs.weight": np.array([4, 1, 2, 1], np.float32)},
        "rope_freqs.weight holds factors that are not those of Llama 3's rope",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_make_no_model_are_refused(case, tmp_path):
    changes, words = TENSORS[case]
    write_plain_llama(tmp_path / "tiny.gguf", None, changes)
    assert words in refused(tmp_path / "tiny.gguf")


@pytest.mark.parametrize("kind", ["IQ4_NL", "TQ2_0", "MXFP4"])
def test_a_quantisation_that_is_not_read_is_named(kind, tmp_path):
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

    tensors = plain_llama()[1]
    number = GGMLQuantizationType[kind]
    width, size = GGML_QUANT_SIZES[number]
    writer = GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_uint32("llama.block_count", 1)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    quantised = np.zeros((32, 256 // width * size), np.uint8)
    writer.add_tensor("output.weight", quantised, raw_dtype=number)
    for step in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file", "close"):
        getattr(writer, step)()
    assert f"tensor output.weight is of the quantisation {kind}, implemented are F32, F16" in (
        refused(tmp_path / "tiny.gguf")
    )


def test_a_part_is_refused_by_its_name(tmp_path):
    path = tmp_path / "big-00002-of-00003.gguf"
    path.write_bytes(b"GGUF")
    words = "llama-gguf-split --merge big-00001-of-00003.gguf big.gguf"
    assert words in refused(path)


def test_a_model_of_one_part_is_read(tmp_path):
    path = tmp_path / "big-00001-of-00001.gguf"
    write_plain_llama(path, {"split.count": 1, "split.no": 0})
    assert read_all(path)


@pytest.mark.parametrize(
    "head, words",
    [
        (b"", "not a GGUF file: empty"),
        (b"ggjt\x03\0\0\0", "begins with b'ggjt', expected b'GGUF'; give a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1), "GGUF of version 1, expected 2 or 3; convert the model"),
        (b"GGUF" + struct.pack(">I", 3), "a big-endian GGUF file, expected a little-endian one"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"<!doctype html>", "an HTML page"),
    ],
)
def test_a_file_that_is_no_gguf_file_is_named_as_what_it_is(head, words, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(head)
    assert words in refused(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert refused(tmp_path / "x.gguf") == (
        "cannot be read: No such file or directory; give a GGUF file"
    )


def test_a_file_cut_anywhere_says_so(sound, tmp_path):
    path = tmp_path / "cut.gguf"
    for length in [*range(4, 400, 7), *range(400, len(sound) - 32, 977), len(sound) - 33]:
        path.write_bytes(sound[:length])
        words = refused(path)
        assert words.startswith("cut, it ends inside ") and "download it again" in words


@pytest.mark.parametrize(
    "count", [1 << 63, (1 << 64) - 1, 1 << 40, 1 << 31], ids=["2**63", "all bits", "2**40", "2**31"]
)
@pytest.mark.parametrize("place", ["tensors", "keys", "key's length", "array", "dimension"])
def test_absurd_sizes_are_refused_at_once(place, count, sound, tmp_path):
    key = b"tokenizer.ggml.token_type"
    places = {
        "tensors": 8,
        "keys": 16,
        "key's length": 24,
        "array": sound.index(key) + len(key) + 8,
        "dimension": sound.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight") + 4,
    }
    path, at = tmp_path / "x.gguf", places[place]
    path.write_bytes(sound[:at] + struct.pack("<Q", count) + sound[at + 8 :])
    assert refused(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_mutated_header_is_refused_or_read(data, sound, tmp_path_factory):
    changed = bytearray(sound)
    end = sound.index(b"blk.0.ffn_down.weight") + 60
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, end))
        changed[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("mutated") / "x.gguf"
    path.write_bytes(bytes(changed))
    try:
        read_all(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_control_tokens_may_stand_anywhere(tmp_path):
    kinds = [CONTROL if index in (0, 1, 2, 100, 250) else kind for index, kind in enumerate(KINDS)]
    write_plain_llama(tmp_path / "tiny.gguf", {"tokenizer.ggml.token_type": kinds})
    assert read_all(tmp_path / "tiny.gguf")


def test_our_header_is_that_of_the_gguf_package(tmp_path):
    from gguf import GGUFReader

    from pocketllm.export.checkpoint.gguf.header import read_header

    metadata, tensors = plain_llama()
    metadata |= {"a.switch": True, "a.list": [1.5, 2.5], "a.signed": [-3, 4], "a.words": ["é", ""]}
    write_gguf(tmp_path / "tiny.gguf", metadata, tensors)
    ours, theirs = read_header(tmp_path / "tiny.gguf"), GGUFReader(tmp_path / "tiny.gguf")
    for key, value in ours.values.items():
        value = value.tolist() if isinstance(value, np.ndarray) else value
        assert value == theirs.fields[key].contents(), key
    assert set(ours.values) == {key for key in theirs.fields if not key.startswith("GGUF.")}
    places = [
        (name, place.kind, place.shape, place.start, place.size)
        for name, place in ours.tensors.items()
    ]
    assert places == [
        (t.name, t.tensor_type, tuple(t.shape.tolist()[::-1]), t.data_offset, t.n_bytes)
        for t in theirs.tensors
    ]
