"""PEFT's LoRA on a model in PyTorch, with the initial values of a bundle."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from pocketllm.runtime.bundle.contents import Bundle

from .initial_values import initial_values
from .lora import A, B

ADAPTERS = {A: ".lora_A.default.weight", B: ".lora_B.default.weight"}


def add_peft(model: PreTrainedModel, bundle: Bundle) -> list[torch.nn.Parameter]:
    """Lets PEFT put a LoRA bundle's layers into its base model; returns the trained parameters.

    Args:
      model: changed in place; the values of its own parameters stay, and they need no gradient.
      bundle: gives rank, alpha, layers, A and B. The parameters that it trains besides must have
        their initial values in the model already.
    """
    lora = bundle.lora
    get_peft_model(
        model,
        LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules=list(lora["targets"])),
    )
    model.eval()
    parameters, trained = dict(model.named_parameters()), []
    for name, values in initial_values(bundle):
        suffix = next((suffix for suffix in ADAPTERS if name.endswith(suffix)), None)
        if suffix:
            parameter = parameters[name.removesuffix(suffix) + ADAPTERS[suffix]]
            parameter.data.copy_(torch.from_numpy(values))
        else:
            parameter = parameters[name].requires_grad_()
        trained.append(parameter)
    return trained
