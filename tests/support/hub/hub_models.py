"""Models for the Hub of the tests: files that are told apart by their bytes, no real weights."""

import hashlib
import json

import pytest

COMMIT, OLDER = "c0ffee0123456789abcdef0123456789abcdef01", "0123456789" * 4
FILES = {
    "config.json": b'{"model_type": "roberta"}',
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b"{}",
    "generation_config.json": b'{"eos_token_id": 2}',
    "chat_template.jinja": b"{{ messages }}",
    "additional_chat_templates/rag.jinja": b"{{ documents }}",
    "model.safetensors": b"\x08\0\0\0\0\0\0\0{}      " + bytes(3_000_000),
    "pytorch_model.bin": b"pickled",
    "tf_model.h5": b"tensorflow",
    "flax_model.msgpack": b"flax",
    "onnx/model.onnx": b"onnx",
    "original/consolidated.00.pth": b"meta's",
    "model-q4.gguf": b"GGUF",
    "README.md": b"# A model",
    "LICENSE": b"Apache",
    ".gitattributes": b"*.bin filter=lfs",
}
SMALL = [
    "additional_chat_templates/rag.jinja", "chat_template.jinja", "generation_config.json",
    "tokenizer.json", "tokenizer_config.json", "config.json",
]  # fmt: skip


def sharded(names=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
    """Returns the files of a model in shards that an index names."""
    weight_map = {f"layer.{number}": name for number, name in enumerate(names)}
    index = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    shards = {name: hashlib.sha256(name.encode()).digest() * 99 for name in names}
    small = {name: FILES[name] for name in SMALL}
    return small | shards | {"model.safetensors.index.json": index}


def refused(kind, model="some/tiny", **settings):
    """Returns the line that an export of a model ends with, its weights opened too."""
    from pocketllm.export.sources.kinds import source_of

    with pytest.raises(kind) as caught:
        source_of(model, **settings).open_weights()
    assert "\n" not in str(caught.value) and "Request ID" not in str(caught.value)
    return str(caught.value)
