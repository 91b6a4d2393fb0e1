"""A PEFT adapter: adapter_config.json and adapter_model.safetensors, as `peft` reads them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketllm.runtime.bundle import Bundle, Parameter
from pocketllm.runtime.model import Model

CONFIG_FILE, TENSORS_FILE = "adapter_config.json", "adapter_model.safetensors"
FILES = {CONFIG_FILE, TENSORS_FILE}
PREFIX = "base_model.model."
# One parameter under both of its names: transformers adds the decoder's.
BIAS, BIAS_TOO = "lm_head.bias", "lm_head.decoder.bias"


def adapter_tensors(bundle: Bundle, model: Model) -> dict[str, np.ndarray]:
    """Returns {PEFT's name: values in the checkpoint's shape} of what a LoRA bundle trains."""
    held = dict(model.read())
    found = {
        f"{PREFIX}{p.name}": in_checkpoint_layout(p, [held[v.name] for v in p.variables])
        for p in bundle.parameters
    }
    if PREFIX + BIAS in found:
        found[PREFIX + BIAS_TOO] = found[PREFIX + BIAS].copy()
    return found


def adapter_config(bundle: Bundle) -> dict:
    """Returns adapter_config.json of a LoRA bundle; the base is whatever it is loaded onto."""
    lora = bundle.lora
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "r": lora["rank"],
        "lora_alpha": lora["alpha"],
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": list(lora["targets"]),
        "modules_to_save": None if lora["extras"] == "none" else [lora["extras"]],
    }


def write_adapter(folder: Path, bundle: Bundle, model: Model) -> None:
    """Writes both files into a folder that exists."""
    from safetensors.numpy import save_file

    tensors = adapter_tensors(bundle, model)
    save_file(tensors, folder / TENSORS_FILE, metadata={"format": "pt"})
    text = json.dumps(adapter_config(bundle), indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def in_checkpoint_layout(parameter: Parameter, pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a parameter's values in the checkpoint's shape, from those of its variables."""
    rows = [piece[0].T if parameter.transposed else piece for piece in pieces]
    return np.ascontiguousarray(np.concatenate(rows))
