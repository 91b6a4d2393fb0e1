"""What lies in the place of a checkpoint's weights and config.json is named, and what to do."""

import shutil

import pytest
from checkpoint_files import refusal, save_single, weights_of

pytest_plugins = ["checkpoint_files"]

pytestmark = pytest.mark.desktop


@pytest.mark.parametrize(
    "name, words",
    [
        ("adapter_model.safetensors", "an adapter of PEFT; merge it into its base"),
        ("model-q4.gguf", "a model of llama.cpp; give the file itself"),
        ("tf_model.h5", "weights for TensorFlow"),
        ("flax_model.msgpack", "weights for Flax"),
        ("epoch=3.ckpt", "a training script's checkpoint"),
        ("best.pt", "PyTorch's own file"),
        ("roberta.safetensors", "under another name; call it"),
        ("model.onnx", "a model of ONNX"),
        ("model.safetensors.incomplete", "a download that did not end"),
        ("zero_to_fp32.py", "the shards of DeepSpeed; run zero_to_fp32.py"),
        ("pytorch_model_fsdp_0", "the shards of FSDP"),
    ],
)
def test_what_lies_in_the_place_of_weights_is_named(name, words, source):
    (source / name).write_bytes(b"x")
    assert f"found {name}: {words}" in refusal(weights_of, source)


def test_a_link_whose_file_is_gone_is_named(source):
    (source / "model.safetensors").symlink_to("blobs/gone")
    assert "found model.safetensors: a link to a file that is gone" in refusal(weights_of, source)


def test_safetensors_under_the_name_of_a_bin_are_named(source, tensors):
    save_single(source, tensors)
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    assert "a safetensors file; call it model.safetensors" in refusal(weights_of, source)


def test_a_trainers_own_files_are_not_taken_for_weights(source):
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        (source / name).write_bytes(b"x")
    assert "no weights; expected model.safetensors" in refusal(weights_of, source)


def test_a_trainers_folder_names_its_newest_checkpoint(source):
    (source / "checkpoint-500").mkdir()
    shutil.copy(source / "config.json", source / "checkpoint-500")
    assert "give the folder inside it, " in refusal(weights_of, source)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    "data, words",
    [
        (LFS, "a git-lfs pointer"),
        ("\n<!DOCTYPE html><p>no", "an HTML page"),
        ("<!-- saved from -->\n<html>", "an HTML page"),
        ("Entry not found", "an error message of a server"),
        ('{"error": "Repository not found"}', "an error message of a server"),
        ("", "empty"),
    ],
)
def test_a_placeholder_of_a_file_is_named_as_what_it_is(name, data, words, source):
    (source / name).write_text(data)
    message = refusal(weights_of, source)
    assert message.startswith(f"{source / name}: not ") and words in message


def given(model):
    """Reads what `export --model` is given, up to its config."""
    from pocketllm.export.api import model_at
    from pocketllm.export.sources.kinds import source_of

    return model_at(source_of(str(model), random_init=False))


@pytest.mark.parametrize(
    "name, words",
    [
        ("adapter_config.json", "an adapter of PEFT"),
        ("model-q4.gguf", "a model of llama.cpp; give the file itself"),
        ("tf_model.h5", "weights for TensorFlow"),
        ("README.md", "give the folder of a Hugging Face checkpoint"),
    ],
)
def test_a_folder_without_config_says_what_lies_there(name, words, tmp_path):
    (tmp_path / name).write_text("x")
    message = refusal(given, tmp_path)
    assert message.startswith(f"{tmp_path / 'config.json'}: not found; ") and words in message


def test_a_trainers_folder_without_config_names_the_one_inside(source):
    (source / "checkpoint-500").mkdir()
    (source / "config.json").rename(source / "checkpoint-500" / "config.json")
    assert refusal(given, source).endswith(f"give the folder inside it, {source}/checkpoint-500")


@pytest.mark.parametrize(
    "name, words",
    [
        ("model.safetensors", "give the folder that it lies in"),
        ("config.json", "give the folder that it lies in"),
        ("tiny.Q4_K.gguf", "begins with b'x', expected b'GGUF'"),
        ("best.pt", "save the model with save_pretrained"),
    ],
)
def test_a_file_in_the_place_of_a_folder_says_what_to_give(name, words, source):
    (source / name).write_bytes(b"x")
    assert words in refusal(given, source / name)


@pytest.mark.parametrize(
    "text, words",
    [(LFS, "a git-lfs pointer"), ('{"error": "Entry not found"}', "an error message of a server")],
)
def test_a_config_that_is_something_else_is_named_as_that(text, words, source):
    (source / "config.json").write_text(text)
    assert f"config.json: not JSON: {words}" in refusal(given, source)
