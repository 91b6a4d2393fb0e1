"""Broken, foreign and hostile checkpoints: refused, and the message says what was found."""

import json
import os
import pickle
import struct

import pytest
from checkpoint_files import (
    DECODER,
    EMBEDDINGS,
    edit_config,
    refusal,
    save_pickled,
    save_sharded,
    save_sharded_pickled,
    save_single,
    variables_in,
    weights_of,
)

pytest_plugins = ["checkpoint_files"]

pytestmark = pytest.mark.desktop


def test_one_error_lists_every_missing_and_misshapen_tensor(source, tensors):
    import torch

    del tensors["lm_head.dense.weight"], tensors["lm_head.dense.bias"]
    tensors["lm_head.layer_norm.weight"] = torch.ones(17)
    tensors["roberta.encoder.layer.0.output.dense.weight"] = torch.ones(24, 16)
    tensors |= {"classifier.weight": torch.ones(2, 16), "extra": torch.ones(())}
    save_single(source, tensors)

    message = refusal(weights_of, source)

    assert message.startswith(f"{source}: ")
    for problem in (
        "missing lm_head.dense.weight [16, 16]",
        "missing lm_head.dense.bias [16]",
        "lm_head.layer_norm.weight is [17], expected [16]",
        "roberta.encoder.layer.0.output.dense.weight is [24, 16], expected [16, 24]",
    ):
        assert problem in message
    assert "classifier" not in message  # that of another task is no problem


def test_a_decoder_of_another_shape_is_misshapen_not_untied(source, tensors):
    import torch

    tensors[DECODER] = torch.ones(7, 16)
    save_single(source, tensors)
    message = refusal(weights_of, source)
    assert f"{DECODER} is [7, 16], expected [{len(tensors[EMBEDDINGS])}, 16]" in message


@pytest.mark.parametrize("save", [save_single, save_pickled])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named_and_counted(save, value, source, tensors):
    tensors["lm_head.dense.bias"][[2, 5]] = value
    save(source, tensors)
    message = refusal(lambda: variables_in(weights_of(source)))
    assert "lm_head.dense.bias has 2 values that are NaN or infinite" in message
    assert message.startswith(str(source / ("model.safetensors" if save is save_single else "py")))


@pytest.mark.parametrize("save", [save_single, save_pickled])
def test_weights_that_are_not_floats_are_named(save, source, tensors):
    import torch

    tensors["lm_head.dense.bias"] = torch.ones(16, dtype=torch.int32)
    save(source, tensors)
    message = refusal(lambda: variables_in(weights_of(source)))
    assert "lm_head.dense.bias has dtype" in message and "save the checkpoint in" in message


def _header(**entry):
    """A safetensors file with one tensor of 16 bytes."""
    text = json.dumps({"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | entry})
    return struct.pack("<Q", len(text)) + text.encode() + bytes(16)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:5], id="5 bytes"),
        pytest.param(lambda data: data[:-1], id="truncated"),
        pytest.param(lambda data: data[:100], id="truncated header"),
        pytest.param(lambda data: data[:8] + b"\xff" * (len(data) - 8), id="garbage header"),
        pytest.param(lambda data: b"\xff" * 8 + data[8:], id="endless header"),
        pytest.param(lambda data: _header(data_offsets=[0, 1 << 40]), id="beyond the end"),
        pytest.param(lambda data: _header(data_offsets=[-16, 0]), id="before the start"),
        pytest.param(lambda data: _header(shape=[1 << 40, 1 << 40]), id="shape overflows"),
        pytest.param(lambda data: _header(shape=[5]), id="shape is not the size"),
        pytest.param(lambda data: b"version https://git-lfs.github.com/spec/v1\n", id="git lfs"),
    ],
)
def test_a_broken_safetensors_file_is_refused(spoil, source, tensors):
    save_single(source, tensors)
    path = source / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    message = refusal(weights_of, source)
    assert message.startswith(f"{path}: not a readable safetensors file")


class Hostile:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(new_format, source, tensors, tmp_path):
    import torch

    target, path = tmp_path / "was-run", source / "pytorch_model.bin"
    entries = tensors | {"x": Hostile(target)}
    torch.save(entries, path, _use_new_zipfile_serialization=new_format)
    message = refusal(weights_of, source)
    assert message.startswith(f"{path}: not readable as weights alone")
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists(), "the pickle would have done harm"


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", pickle.dumps({"a": 1}, 2)[:-3], pickle.dumps([1, 2], 2)]
)
def test_a_pytorch_file_without_a_table_of_tensors_is_refused(data, source):
    (source / "pytorch_model.bin").write_bytes(data)
    assert refusal(weights_of, source).startswith(f"{source / 'pytorch_model.bin'}: not readable")


@pytest.mark.parametrize(
    "index, problem",
    [
        ("{", "not JSON"),
        ("[]", "a JSON list, expected an object"),
        ("{}", "no weight_map"),
        ('{"weight_map": {"a": 1}}', "no weight_map"),
        ('{"weight_map": {}}', "weight_map is empty"),
        ('{"weight_map": {"a": "../../secret"}}', "'../../secret' leaves the checkpoint's folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "'/etc/passwd' leaves the checkpoint's folder"),
        ('{"weight_map": {"a": ".."}}', "'..' leaves the checkpoint's folder"),
        ('{"weight_map": {"a": ""}}', "'' leaves the checkpoint's folder"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors: no such file"),
    ],
)
def test_a_broken_index_is_refused(index, problem, source):
    (source / "model.safetensors.index.json").write_text(index)
    assert problem in refusal(weights_of, source)


def test_a_tensor_in_two_shards_is_refused(source, tensors):
    from safetensors.torch import save_file

    weight_map = dict.fromkeys(tensors, "a.safetensors") | {"lm_head.bias": "b.safetensors"}
    save_file(tensors, source / "a.safetensors")
    save_file({"lm_head.bias": tensors["lm_head.bias"]}, source / "b.safetensors")
    index = json.dumps({"weight_map": weight_map})
    (source / "model.safetensors.index.json").write_text(index)
    assert "tensor lm_head.bias stands in a.safetensors too" in refusal(weights_of, source)


@pytest.mark.parametrize("save", [save_sharded, save_sharded_pickled])
def test_a_shard_that_is_not_there_is_named(save, source, tensors):
    save(source, tensors)
    (index,) = source.glob("*.index.json")
    weight_map = json.loads(index.read_text())["weight_map"]
    shard = sorted(set(weight_map.values()))[1]
    (source / shard).unlink()
    count = list(weight_map.values()).count(shard)

    message = refusal(weights_of, source)

    assert message.startswith(f"{source / shard}: no such file")
    assert f"{index.name} says it holds {count} tensors; download" in message


@pytest.mark.parametrize("save", [save_sharded, save_sharded_pickled])
def test_a_shard_that_the_index_leaves_out_is_a_list_of_missing_tensors(save, source, tensors):
    save(source, tensors)
    (path,) = source.glob("*.index.json")
    index = json.loads(path.read_text())
    shard = sorted(set(index["weight_map"].values()))[1]
    left_out = [name for name, file in index["weight_map"].items() if file == shard]
    index["weight_map"] = {n: file for n, file in index["weight_map"].items() if file != shard}
    path.write_text(json.dumps(index))

    message = refusal(weights_of, source)

    assert message.startswith(f"{path}: ")
    assert message.count("missing ") == 12 == sum(f"missing {n} [" in message for n in left_out)
    assert f"and {len(left_out) - 12} more" in message


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_published_shard_that_the_index_does_not_name_is_named(suffix, source, tensors):
    save = save_sharded if suffix == "safetensors" else save_sharded_pickled
    save(source, tensors)
    (path,) = source.glob("*.index.json")
    index = json.loads(path.read_text())
    names = {f"{c}.{suffix}": f"model-0000{i}-of-00002.{suffix}" for i, c in enumerate("ab", 1)}
    for old, new in names.items():
        (source / old).rename(source / new)
    index["weight_map"] = {n: names[f] for n, f in index["weight_map"].items() if f[0] == "a"}
    path.write_text(json.dumps(index))

    message = refusal(weights_of, source)

    assert message.startswith(f"{path}: does not name model-00002-of-00002.{suffix}")
    assert "download the index again" in message


@pytest.mark.parametrize(
    "other",
    [
        "model.fp16-00001-of-00002.safetensors",
        "consolidated-00001-of-00001.safetensors",
        "model-00001-of-00099.safetensors",
        "pytorch_model-00003-of-00002.bin",
        "one-of-many.safetensors",
    ],
)
def test_another_set_of_shards_beside_the_indexs_is_not_read(other, source, tensors):
    save_sharded(source, tensors)
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    names = {
        f"{c}.safetensors": f"model-0000{i}-of-00002.safetensors" for i, c in enumerate("ab", 1)
    }
    for old, new in names.items():
        (source / old).rename(source / new)
    index["weight_map"] = {n: names[f] for n, f in index["weight_map"].items()}
    path.write_text(json.dumps(index))
    (source / other).write_bytes(b"not read")

    weights = weights_of(source)

    for parameter in weights.parameters:
        assert (weights.read(parameter) == tensors[parameter.name].numpy()).all()


@pytest.mark.parametrize("save", [save_sharded, save_sharded_pickled])
def test_a_shard_that_was_cut_off_is_named(save, source, tensors):
    save(source, tensors)
    path = sorted(source.glob("b.*"))[0]
    path.write_bytes(path.read_bytes()[:-100])
    message = refusal(weights_of, source)
    assert message.startswith(f"{path}: not ") and "download it again" in message


def test_a_folder_without_weights_or_config_says_what_was_expected(source, tmp_path):
    message = refusal(weights_of, source)
    assert "no weights; expected model.safetensors," in message and "pytorch_model.bin" in message
    assert "No such file or directory" in refusal(weights_of, tmp_path / "nowhere")


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"model_type": "t5"}, "model_type is 't5', implemented are "),
        ({"model_type": "gpt2"}, "model_type is 'gpt2', implemented are "),
        ({"model_type": "absent", "architectures": None}, "model_type is None"),
        ({"model_type": "absent", "architectures": ["T5Model"]}, "model_type is None"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish', implemented are gelu,"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True, only False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}, only null"),
        ({"num_attention_heads": 3}, "hidden_size 16 is not a multiple of num_attention_heads 3"),
        ({"num_hidden_layers": "absent"}, "missing roberta.encoder.layer.2."),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads is {'0': [1]}, only null"),
        ({"per_layer_config": {"0": {"hidden_act": "relu"}}}, "per_layer_config is {'0'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, expected a positive"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers is 2.0, expected int"),
        ({"hidden_size": True}, "hidden_size is True, expected int"),
        ({"layer_norm_eps": "1e-5"}, "layer_norm_eps is '1e-5', expected float"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        ({"max_position_embeddings": 2}, "max_position_embeddings 2 leaves no room"),
        ({"max_position_embeddings": 41}, "is [40, 16], expected [41, 16]"),
    ],
)
def test_a_config_that_is_not_implemented_or_not_the_weights_is_refused(
    changes, problem, source, tensors
):
    save_single(source, tensors)
    edit_config(source, **changes)
    assert problem in refusal(weights_of, source)
