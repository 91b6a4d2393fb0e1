"""What a bundle trains as PyTorch has it: the Hugging Face model, or PEFT's LoRA on it."""

import torch
from peft import LoraConfig, get_peft_model
from prefix_reference import WITHOUT_ROPE
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from pocketllm.runtime import contract

MODELS = {contract.MASKED: AutoModelForMaskedLM, contract.CAUSAL: AutoModelForCausalLM}
# Tied or not, the decoder's own bias is the one that is added.
NAMES = {
    "roberta": {"lm_head.bias": "lm_head.decoder.bias"},
    "bert": {"cls.predictions.bias": "cls.predictions.decoder.bias"},
}


def trained_model(checkpoint, bundle, values=None):
    """Returns (float32 model without dropout, {parameter: tensor} of those that a bundle trains).

    `values`, {parameter: array}, are those that a tuning added: LoRA's adapter, a prefix.
    """
    if bundle.tune == contract.LORA:
        model = peft_model(checkpoint, bundle, values)
        return model, {p.name: model.get_parameter(peft_name(p.name)) for p in bundle.parameters}
    model = torch_model(checkpoint, bundle)
    if bundle.tune == contract.PREFIX:
        return model.eval(), {name: torch.tensor(array) for name, array in values.items()}
    others = NAMES.get(bundle.architecture, {})
    names = {p.name: p.name for p in bundle.parameters} | others
    tensors = {ours: model.get_parameter(theirs) for ours, theirs in names.items()}
    trained = {id(tensor) for tensor in tensors.values()}
    left_out = {n for n, p in model.named_parameters() if id(p) not in trained}
    assert left_out <= set(others), left_out
    return model.eval(), tensors


def torch_model(checkpoint, bundle):
    """Loads a checkpoint in float32, as the language model that the bundle's task is of."""
    # Eager attention takes its softmax in float32, where float64's bias of padding is infinite: a
    # window of padding alone would be NaN. A prefix of an encoder is given to eager attention.
    masked_prefix = bundle.style == contract.MASKED and bundle.tune == contract.PREFIX
    eager = masked_prefix or bundle.architecture in WITHOUT_ROPE
    attention = "eager" if eager else "sdpa"
    return MODELS[bundle.style].from_pretrained(
        checkpoint, attn_implementation=attention, dtype=torch.float32
    )


def peft_model(checkpoint, bundle, values):
    """Wraps a checkpoint as a bundle says and puts the trained values in; {parameter: array}."""
    model = torch_model(checkpoint, bundle)
    lora = bundle.lora
    config = LoraConfig(
        r=lora["rank"], lora_alpha=lora["alpha"], target_modules=list(lora["targets"])
    )
    model = get_peft_model(model, config).eval()
    adapters = {n for n, p in model.named_parameters() if p.requires_grad}
    assert adapters == {peft_name(name) for name in values if "lora" in name}
    with torch.no_grad():
        for name, array in values.items():
            model.get_parameter(peft_name(name)).copy_(torch.tensor(array))
    return model


def peft_name(name):
    """Returns what PEFT calls a parameter of ours."""
    for others in NAMES.values():
        name = others.get(name, name)
    for which in ("lora_A", "lora_B"):
        name = name.replace(f"{which}.weight", f"{which}.default.weight")
    return f"base_model.model.{name}"
