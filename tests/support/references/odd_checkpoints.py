"""Odd checkpoints, and their logits: by the graph's function without a conversion, by transformers.

`compare` runs where TensorFlow may be loaded (desktop_child.in_child).
"""

import json
from pathlib import Path

import decoder_cases
import encoder_cases
import numpy as np
import tiny
from checkpoint_files import save_sharded, weights_of

WORD_IDS = (20, 31, 7)
TOKENS, ROWS = 12, 3


def compare(folder: Path, model_type: str, odd: dict) -> tuple[np.ndarray, np.ndarray]:
    """Writes a checkpoint, and returns ([rows, C] logits of ours, of transformers' in float64).

    Args:
      folder: made here.
      model_type: roberta, opt, one of encoder_cases or a case of decoder_cases.
      odd: what is odd about it: `config`, changes of the tiny one; `file`, changes of config.json
        (null stays, "absent" removes); `names`, {part of a tensor's name: another}; `extra`,
        {tensor: shape}; `copies`, {tensor: a second name}; `dtype` of the tensors; `pickled`, as
        pytorch_model.bin; `wrapped`, under this key; `sharded`, in two files; `foreign`, where
        transformers does not read the names, so that the model that was saved is the reference.
    """
    if model_type in encoder_cases.SIZES:
        encoder_cases.write(folder, model_type, **odd.get("config", {}))
    elif model_type in decoder_cases.CASES:
        decoder_cases.write(folder, model_type, **odd.get("config", {}))
    else:
        write = {"roberta": tiny.write_checkpoint, "opt": tiny.write_opt_checkpoint}[model_type]
        write(folder, **odd.get("config", {}))
    saved = _model(folder, model_type) if odd.get("foreign") else None
    _rewrite_config(folder / "config.json", odd.get("file", {}))
    _rewrite_tensors(folder, odd)
    model = saved or _model(folder, model_type)
    inputs = _inputs(model.config.vocab_size, model_type)
    return _ours(folder, inputs), _theirs(model, inputs)


def _model(folder, model_type):
    import transformers

    from pocketllm.export.models import ARCHITECTURES

    kind = transformers.AutoModelForCausalLM
    if model_type in ARCHITECTURES:
        kind = getattr(transformers, ARCHITECTURES[model_type].hf_class)
    # A window of padding alone is NaN in eager attention, whose softmax is float32.
    attention = "eager" if model_type in ("roberta", "opt") else "sdpa"
    return kind.from_pretrained(folder, attn_implementation=attention).float().double().eval()


def _rewrite_config(path, changes):
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "absent"}))


def _rewrite_tensors(folder, odd):
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, other in odd.get("copies", {}).items():
        tensors[other] = tensors[name].clone()
    for part, other in odd.get("names", {}).items():
        tensors = {name.replace(part, other): values for name, values in tensors.items()}
    for name in odd.get("without", ()):
        del tensors[name]
    generator = torch.Generator().manual_seed(7)
    for name, shape in odd.get("extra", {}).items():
        tensors[name] = torch.randn(shape, generator=generator)
    dtype = getattr(torch, odd.get("dtype", "float32"))
    tensors = {name: values.to(dtype) for name, values in tensors.items()}
    if odd.get("pickled") or odd.get("wrapped"):
        path.unlink()
        wrapped = {odd["wrapped"]: tensors, "epoch": 1} if odd.get("wrapped") else tensors
        torch.save(wrapped, folder / "pytorch_model.bin")
    elif odd.get("sharded"):
        path.unlink()
        save_sharded(folder, tensors)
    else:
        save_file(tensors, path, {"format": "pt"})


def _inputs(vocab_size, model_type):
    """Returns rows of TOKENS, a padded one among them; their text holds ids that configs pad."""
    rng = np.random.default_rng(3)
    ids = rng.integers(3, vocab_size, (ROWS, TOKENS)).astype(np.int32)
    ids[:, 2], ids[:, 5] = (5, 9, 3), (9, 1, 5)
    mask = np.ones_like(ids)
    ids[1, -4:], mask[1, -4:] = 1, 0
    position = np.array([TOKENS - 1, TOKENS - 5, 3], np.int32)
    mask[2, 4:], ids[2, 4:] = (0, 1) if model_type == "opt" else (1, ids[2, 4:])
    return {"input_ids": ids, "attention_mask": mask, "position": position}


def _ours(folder, inputs):
    import tensorflow as tf

    from pocketllm.export.graph.scoring import Target
    from pocketllm.export.graph.weights_view import WeightsView
    from pocketllm.export.models import architecture_of, model_config
    from pocketllm.runtime import contract
    from pocketllm.runtime.host.files import read_json

    config = model_config(read_json(folder / "config.json", ""), str(folder))
    weights, architecture = weights_of(folder), architecture_of(config)
    values = {p: weights.read(p) for p in weights.parameters}
    tensors = {p.name: tf.constant(v) for p, v in values.items() if p.kind == "vector"}
    tensors |= {p.name: [tf.constant(v[None])] for p, v in values.items() if p.kind == "linear"}
    tables = {p.name: [(0, tf.constant(v))] for p, v in values.items() if p.kind == "table"}
    view = WeightsView(tensors, tables, architecture.head, weights.tied)
    at = contract.MASK_POSITION if architecture.style == contract.MASKED else contract.LAST_POSITION
    batch = {
        contract.INPUT_IDS: inputs["input_ids"],
        contract.ATTENTION_MASK: inputs["attention_mask"],
        at: inputs["position"],
        contract.LABEL: np.zeros(ROWS, np.int32),
        contract.WEIGHT: np.ones(ROWS, np.float32),
    }
    batch = {name: tf.constant(array) for name, array in batch.items()}
    target = Target(contract.WORDS, WORD_IDS, len(WORD_IDS), 0)
    return architecture.forward_loss(config, target, batch, view)[contract.LOGITS].numpy()


def _theirs(model, inputs):
    import torch

    ids, mask = (torch.tensor(inputs[name]).long() for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
    return logits[torch.arange(ROWS), torch.tensor(inputs["position"]).long()][
        :, list(WORD_IDS)
    ].numpy()
