"""A tiny checkpoint's tensors in every file format, and what the exporter reads of them.

A test module that wants the fixtures says `pytest_plugins = ["checkpoint_files"]`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pocketllm.runtime.errors import InputError

CHUNK_VALUES = 16 * 100
DECODER, DECODER_BIAS = "lm_head.decoder.weight", "lm_head.decoder.bias"
EMBEDDINGS = "roberta.embeddings.word_embeddings.weight"


@pytest.fixture
def source(make_checkpoint, tmp_path) -> Path:
    """A folder with everything of a tiny checkpoint but its weights."""
    folder = tmp_path / "source"
    shutil.copytree(make_checkpoint(), folder)
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def tensors(make_checkpoint):
    """The tiny checkpoint's tensors, torch float32."""
    from safetensors.torch import load_file

    return load_file(make_checkpoint() / "model.safetensors")


def save_single(folder, tensors):
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def save_sharded(folder, tensors):
    from safetensors.torch import save_file

    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, names in shards.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in shards.items() for name in names}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def save_sharded_pickled(folder, tensors):
    import torch

    names = sorted(tensors)
    shards = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, names in shards.items():
        torch.save({name: tensors[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in shards.items() for name in names}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def save_pickled(folder, tensors):
    import torch

    torch.save(tensors, folder / "pytorch_model.bin")


def save_pickled_before_torch_1_6(folder, tensors):
    import torch

    path = folder / "pytorch_model.bin"
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def weights_of(folder):
    """Matches a checkpoint folder's tensors with the graph's parameters."""
    from pocketllm.export.checkpoint.reader import open_checkpoint
    from pocketllm.export.models import model_config
    from pocketllm.export.weights.weights import checkpoint_weights
    from pocketllm.runtime.host.files import read_json

    config = model_config(read_json(folder / "config.json", ""), str(folder))
    return checkpoint_weights(config, open_checkpoint(folder))


def assert_holds(weights, tensors):
    """Checks that the weights are these tensors, by name and value, and all of them."""
    assert {parameter.name for parameter in weights.parameters} == set(tensors)
    for parameter in weights.parameters:
        expected = tensors[parameter.name].float().numpy()
        np.testing.assert_array_equal(weights.read(parameter), expected)


def variables_in(weights):
    """Returns [(variable, values as streamed)], tables cut into chunks of 100 rows."""
    from pocketllm.export.flatbuffer.values import stream_variables
    from pocketllm.export.flatbuffer.variables import variables_of

    variables = variables_of(weights.parameters, CHUNK_VALUES)
    streamed = list(stream_variables(weights, variables))
    assert [name for name, _ in streamed] == [variable.name for variable in variables]
    return [(variable, values) for variable, (_, values) in zip(variables, streamed)]


def refusal(call, *arguments) -> str:
    """Returns the one line of the InputError that a call must raise."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_config(folder, **changes):
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "absent"}))
