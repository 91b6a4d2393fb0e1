"""README.md of an adapter: a model card as PEFT writes it, with the base it was trained on."""

import json

from pocketllm.runtime import contract

from ..models import architecture_in_bundle
from .origin import Origin, origin_json

CARD = """---
base_model: {base}
library_name: peft
tags:
- {tag}
- pocketllm
---

# {what} for {title}

{storage}

Measured on that base: {measured}

    from peft import PeftModel
    from transformers import {hf_class}

    base = {hf_class}.from_pretrained({load})
    model = PeftModel.from_pretrained(base, "the folder of this file")

Where it comes from, as in pocketllm.json:

{origin}
"""
# tune -> (tag, title)
KINDS = {contract.LORA: ("lora", "LoRA adapter"), contract.PREFIX: ("prefix-tuning", "Prefix")}
# Loads a model of text and images as one, too.
WHOLE_CLASS = "AutoModelForCausalLM"
WHOLE = (
    "The base was in fp32 (its matrices as they are in the checkpoint) while the adapter trained."
)
QUANTISED = (
    "The base's matrices were {base} while the adapter trained, activations int8 too. On this base "
    "in another precision, fp32 or 16 bit, the adapter's results may differ: measure there."
)


def adapter_card(origin: Origin) -> str:
    """Returns the text of README.md."""
    bundle, values = origin.bundle, json.dumps(origin_json(origin), indent=2)
    whole = bundle.base == contract.FP32
    tag, what = KINDS[bundle.tune]
    return CARD.format(
        tag=tag,
        what=what,
        base=json.dumps(origin.source.name),  # a string of YAML and of Python, too
        load=_loaded(origin.source),
        title=" ".join(origin.source.name.split()),
        storage=WHOLE if whole else QUANTISED.format(base=bundle.base),
        measured=_measured(origin),
        hf_class=WHOLE_CLASS if origin.is_text_part else architecture_in_bundle(bundle).hf_class,
        origin="\n".join(f"    {line}" for line in values.splitlines()),
    )


def _loaded(source):
    """Returns the arguments of `from_pretrained` for the base."""
    if source.gguf is None:
        return json.dumps(source.name)
    return f'"the folder of the GGUF file", gguf_file={json.dumps(source.gguf)}'


def _measured(origin):
    if origin.dev is None:
        return f"nothing (the run has no dev evaluation after step {origin.step})."
    dev, after = origin.dev, f"after step {origin.step}."
    if dev.accuracy is None:
        return f"loss {dev.loss:.4f} a token, over {dev.tokens} learnt tokens of a dev set, {after}"
    return (
        f"accuracy {dev.accuracy:.1%} of {dev.examples} dev examples, loss {dev.loss:.4f}, {after}"
    )
