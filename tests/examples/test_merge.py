"""A LoRA adapter merged into its base: the product of its matrices is added, nothing else."""

import json

import llama_cpp_cases
import numpy as np
import pytest

pytestmark = pytest.mark.desktop
CASE, SCALE = "qwen3", 2.0
SETTINGS = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 4 * SCALE,
            "target_modules": ["q_proj"]}  # fmt: skip


@pytest.fixture(scope="module")
def merge():
    return llama_cpp_cases.example("merge").merge


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base as checkpoint and as GGUF file, the small file of a bundle, and an adapter."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("merge")
    base = llama_cpp_cases.write(folder / "base", CASE)
    llama_cpp_cases.example("to_gguf").write_gguf(base, folder / "base.gguf", "f32")
    texts = {path.name: path.read_text(encoding="utf-8") for path in base.glob("*.json")}
    (folder / "bundle").mkdir()
    source = {"name": "Tiny", "files": {name: {"text": text} for name, text in texts.items()}}
    (folder / "bundle" / "source.json").write_text(json.dumps(source))
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(SETTINGS))
    save_file(low_rank(), folder / "adapter" / "adapter_model.safetensors")
    return folder


def low_rank() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"lora_A": (4, 64), "lora_B": (128, 4)}
    return {
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.{name}.weight":
            rng.standard_normal(shape, np.float32)
        for layer in range(2) for name, shape in shapes.items()
    }  # fmt: skip


def tensors_of(checkpoint):
    from safetensors.numpy import load_file

    return load_file(checkpoint / "model.safetensors")


@pytest.mark.parametrize("base", ["base", "base.gguf"])
def test_what_was_learnt_is_added_and_all_else_is_the_base(base, folder, merge, tmp_path):
    merge(folder / "bundle", folder / "adapter", str(folder / base), tmp_path / "out")
    values, expected, factors = (
        tensors_of(tmp_path / "out"),
        tensors_of(folder / "base"),
        low_rank(),
    )

    assert set(values) == set(expected)
    for name in expected:
        if ".q_proj.weight" in name:
            first, second = (
                factors[f"base_model.model.{name.replace('weight', matrix)}.weight"]
                for matrix in ("lora_A", "lora_B")
            )
            learnt = expected[name] + SCALE * (second @ first)
            np.testing.assert_allclose(values[name], learnt, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(values[name], expected[name], name)
    for path in (folder / "base").glob("tokenizer*.json"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("bundle", "adapter", "base"), "exists; name a new folder"),
        (("bundle", "base", "out"), "is no adapter; a run of all parameters needs no merging"),
        (("bundle", "prefix", "out"), "is a prefix, which no weights can hold"),
        (("base", "adapter", "out"), "source.json is missing; give the bundle"),
    ],
)
def test_what_cannot_be_merged_ends_with_one_line(names, reason, folder, merge):
    (folder / "prefix").mkdir(exist_ok=True)
    settings = json.dumps({"peft_type": "PREFIX_TUNING"})
    (folder / "prefix" / "adapter_config.json").write_text(settings)
    bundle, adapter, out = (folder / name for name in names)

    with pytest.raises(SystemExit, match=reason) as error:
        merge(bundle, adapter, str(folder / "base"), out)

    assert str(error.value).startswith("error: ") and "\n" not in str(error.value)
    assert not (folder / "out").exists()
