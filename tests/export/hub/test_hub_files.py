"""Which files of a repository are taken: a format of the weights once, and what is small."""

import json

import pytest

from pocketllm.export.hub.files import shard_names, small_names, weights_name

SAFETENSORS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([PICKLED, SAFETENSORS], SAFETENSORS),
        ([INDEX, SAFETENSORS], SAFETENSORS),
        ([INDEX, PICKLED, "model-00001-of-00002.safetensors"], INDEX),
        ([PICKLED_INDEX, "pytorch_model-00001-of-00002.bin"], PICKLED_INDEX),
        (["model.fp16.safetensors", "onnx/model.safetensors", "model.onnx", "x.gguf"], None),
    ],
)
def test_the_weights_are_those_that_the_reader_would_open(names, first):
    assert weights_name(names) == first


def test_small_files_are_those_that_a_bundle_keeps_config_last():
    names = [
        "config.json", "vocab.json", "merges.txt", "tokenizer.model", "tokenizer.4.0.json",
        "chat_template.jinja", "additional_chat_templates/rag.jinja", "preprocessor_config.json",
        "training_args.bin", "README.md", "original/tokenizer.model", "runs/config.json",
    ]  # fmt: skip

    assert small_names(names) == [
        "additional_chat_templates/rag.jinja", "chat_template.jinja", "merges.txt",
        "tokenizer.4.0.json", "tokenizer.model", "vocab.json", "config.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shards"),
    [
        (json.dumps({"weight_map": {"b": "2", "a": "1", "c": "2"}}), ["1", "2"]),
        (json.dumps({"weight_map": {"a": 1}}), []),
        ("[]", []),
        ("{", []),
    ],
)
def test_an_index_names_its_shards_and_a_broken_one_is_left_to_the_reader(text, shards, tmp_path):
    (tmp_path / INDEX).write_text(text)

    assert shard_names(tmp_path / INDEX) == shards
    assert shard_names(tmp_path / SAFETENSORS) == []
