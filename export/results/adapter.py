"""A PEFT adapter: adapter_config.json and adapter_model.safetensors, as `peft` reads them."""

import json
import re
from pathlib import Path

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_bytes, write_json

from ..models import architecture_in_bundle
from .adapter_card import adapter_card
from .origin import CARD_FILE, ORIGIN_FILE, Origin, origin_json
from .prefix_adapter import check_prefix, prefix_settings, prefix_tensors
from .safetensors_file import write_tensors
from .trained_tensors import trained_tensors

CONFIG_FILE, TENSORS_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# Begins a causal model's names; and where a model of text and images holds the same below it.
BASE, TEXT_PART = "model.", "language_model"


def is_adapter_file(name: str) -> bool:
    """Whether a file is one that `write_adapter` writes."""
    return name in (CONFIG_FILE, TENSORS_FILE, CARD_FILE, ORIGIN_FILE)


def check_adapter(bundle: Bundle) -> None:
    """Raises InputError where no adapter of a bundle's tuning computes what the bundle does."""
    if bundle.tune == contract.PREFIX:
        check_prefix(bundle)
    elif bundle.lora["extras"] != "none" and bundle.tied_decoder:
        raise InputError(
            f"{bundle.folder}: trained with --lora_extras={bundle.lora['extras']}; PEFT keeps "
            "whole modules, and this LM head's decoder is the word embeddings, which the run did "
            "not train: export with --lora_extras=none for an adapter"
        )


def adapter_tensors(model: Model, is_text_part: bool = False) -> dict[str, np.ndarray]:
    """Returns {PEFT's name: values in the checkpoint's shape} of what a bundle has trained."""
    if model.bundle.tune == contract.PREFIX:
        return prefix_tensors(model)
    tensors = {}
    for name, values in trained_tensors(model):
        if is_text_part and name.startswith(BASE):
            name = f"{BASE}{TEXT_PART}.{name.removeprefix(BASE)}"
        tensors[f"{PREFIX}{name}"] = values
    return tensors


def adapter_config(bundle: Bundle, base_model: str, is_text_part: bool = False) -> dict:
    """Returns adapter_config.json of a bundle; the base is the model it is loaded onto.

    A causal model has a task type of PEFT's. PEFT knows none of a masked one: its AutoPeftModel
    takes the class from `auto_mapping`.
    """
    is_prefix, kind = bundle.tune == contract.PREFIX, bundle.architecture
    causal = bundle.style == contract.CAUSAL
    mapping = {
        "base_model_class": architecture_in_bundle(bundle).hf_class,
        "parent_library": f"transformers.models.{kind}.modeling_{kind}",
    }
    return {
        "peft_type": "PREFIX_TUNING" if is_prefix else "LORA",
        "task_type": "CAUSAL_LM" if causal else None,
        "auto_mapping": None if causal else mapping,
        "base_model_name_or_path": base_model,
        "revision": bundle.model_commit,
        "inference_mode": True,
        **(prefix_settings(bundle) if is_prefix else _lora_settings(bundle, is_text_part)),
    }


def _lora_settings(bundle, is_text_part):
    """Returns what adapter_config.json says of LoRA's matrices."""
    lora, targets = bundle.lora, list(bundle.lora["targets"])
    if is_text_part:  # the images' layers have the same names, so that a pattern tells them apart
        names = "|".join(re.escape(target.removeprefix(BASE)) for target in targets)
        targets = rf"{BASE}{TEXT_PART}\.(.*\.)?({names})"
    return {
        "r": lora["rank"],
        "lora_alpha": lora["alpha"],
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": targets,
        "modules_to_save": _whole_modules(bundle) or None,
    }


def _whole_modules(bundle):
    """Names the modules of the LM head that are trained whole, as `--lora_extras` says."""
    if bundle.lora["extras"] == "none":
        return []
    whole = [p.name for p in bundle.parameters if ".lora_" not in p.name]
    modules = architecture_in_bundle(bundle).names.head
    return [m for m in modules if any(name.startswith(f"{m}.") for name in whole)]


def write_adapter(folder: Path, model: Model, origin: Origin) -> None:
    """Writes the adapter, its model card and its origin into an existing folder."""
    write_tensors(folder / TENSORS_FILE, adapter_tensors(model, origin.is_text_part))
    config = adapter_config(origin.bundle, origin.source.name, origin.is_text_part)
    write_bytes(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    write_bytes(folder / CARD_FILE, adapter_card(origin).encode())
    write_json(folder / ORIGIN_FILE, origin_json(origin))
