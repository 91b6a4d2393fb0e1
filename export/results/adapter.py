"""A PEFT adapter: adapter_config.json and adapter_model.safetensors, as `peft` reads them."""

import json
from pathlib import Path

import numpy as np

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.engine.model import Model

from .safetensors_file import write_tensors
from .trained_tensors import trained_tensors

CONFIG_FILE, TENSORS_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


def is_adapter_file(name: str) -> bool:
    """Whether a file is one that `write_adapter` writes."""
    return name in (CONFIG_FILE, TENSORS_FILE)


def adapter_tensors(model: Model) -> dict[str, np.ndarray]:
    """Returns {PEFT's name: values in the checkpoint's shape} of a LoRA bundle's parameters."""
    return {f"{PREFIX}{name}": values for name, values in trained_tensors(model)}


def adapter_config(bundle: Bundle) -> dict:
    """Returns adapter_config.json of a LoRA bundle; the base is the model it is loaded onto."""
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


def write_adapter(folder: Path, model: Model) -> None:
    """Writes both files into an existing folder."""
    write_tensors(folder / TENSORS_FILE, adapter_tensors(model))
    text = json.dumps(adapter_config(model.bundle), indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
