"""Bundles of parameters on a frozen base, and random values of them."""

import numpy as np
from trajectory import checkpoint_layout


def lora_bundle(make_bundle, checkpoint, settings, **export):
    """Exports a LoRA bundle."""
    from pocketllm.export.tune.lora import Lora

    return make_bundle(checkpoint, kind="lora", lora=Lora(**settings), **export)


def random_state(model, seed):
    """Draws every trained value, B's too, and returns {parameter: values in PEFT's shape}."""
    rng = np.random.default_rng(seed)
    drawn = {
        v.name: rng.standard_normal(v.shape).astype(np.float32) * np.float32(0.3)
        for v in model.bundle.variables
    }
    model.write(drawn)
    return checkpoint_layout(model.bundle, model)
