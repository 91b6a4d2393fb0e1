"""Prints what a bundle holds: model, task, signatures with shapes, parameters, noise, files.

examples:
  pocketllm inspect --bundle=micro
  pocketllm inspect --bundle=micro --slices
"""

import math
from typing import cast

import numpy as np
from absl import flags

from .. import contract
from ..bundle.contents import Bundle
from ..bundle.manifest import read_bundle
from ..tasks.causal import CausalTask
from ..tasks.text import CHAT, EVERYTHING, SFT, TextTask
from .flags import definer
from .shared import required

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder, from `pocketllm export`")
define.bool("parameters", False, "list every parameter")
define.bool("slices", False, "list the tensors of every slice")


def run(values) -> dict:
    """Inspects; see the module's docstring."""
    required(values, "bundle")
    bundle = read_bundle(values.bundle)
    trained = sum(math.prod(p.shape) for p in bundle.parameters)
    count = trained + sum(map(math.prod, bundle.frozen.values()))
    for name, text in _summary(bundle, trained):
        print(f"{name:<12}{text}")
    print("signatures", *_signatures(bundle), sep="\n  ")
    if values.slices:
        print("slices", *_slices(bundle), sep="\n  ")
    if values.parameters:
        for p in bundle.parameters:
            chunks = f", {len(p.variables)} chunks" if len(p.variables) > 1 else ""
            print(f"  {p.name} {list(p.shape)}{chunks}{'' if p.decays else ', no decay'}")
    return {
        "bundle": str(bundle.folder),
        "model_name": bundle.model_name,
        "model_commit": bundle.model_commit,
        "style": bundle.style,
        "architecture": bundle.architecture,
        "tied_decoder": bundle.tied_decoder,
        "config": bundle.config,
        "task": bundle.task.name,
        "labels": list(bundle.task.labels),
        "words": list(bundle.task.words),
        **({"learnt": bundle.task.learnt} if isinstance(bundle.task, TextTask) else {}),
        "scoring": bundle.scoring,
        "word_ids": list(bundle.word_ids),
        "option_tokens": bundle.option_tokens,
        "parameters": count,
        "trained_parameters": trained,
        "tune": bundle.tune,
        "base": bundle.base,
        "lora": bundle.lora,
        "batch_size": bundle.batch_size,
        "lengths": list(bundle.lengths),
        "context": bundle.context,
        "noise": bundle.noise,
        "signatures": bundle.signatures,
        "files": bundle.files,
        "checksum": bundle.checksum,
    }


def _summary(bundle: Bundle, trained: int) -> list[tuple[str, str]]:
    architecture = f"{bundle.architecture}, {bundle.style} prompts"
    return [
        ("bundle", f"{bundle.folder}, format {contract.FORMAT_VERSION}, files intact"),
        ("checksum", bundle.checksum),
        ("model", f"{bundle.model_name} ({architecture}), {_architecture(bundle)}"),
        *([("commit", f"{bundle.model_commit} on the Hub")] if bundle.model_commit else []),
        ("trained", f"{trained:,} in {len(bundle.parameters)} tensors, {_tuning(bundle)}, float32"),
        ("frozen", _frozen(bundle)),
        ("decoder", "tied to the word embeddings" if bundle.tied_decoder else "not tied"),
        ("task", _task(bundle)),
        _options(bundle),
        *([("generates", _generates(bundle))] if bundle.context else []),
        ("noise", ", ".join(f"{k} {v}" for k, v in bundle.noise.items() if k != "offset")),
        ("files", ", ".join(f"{n} {e['bytes']:,} B" for n, e in bundle.files.items())),
    ]


def _task(bundle: Bundle) -> str:
    task = bundle.task
    return f"{task.name}; template {task.template!r}" if task.template else task.name


def _generates(bundle: Bundle) -> str:
    chat = "chats and text" if bundle.chat else "text"
    stops = ", ".join(map(str, bundle.stop_ids)) or str(bundle.special_tokens.eos)
    return f"{chat} of up to {bundle.context} tokens with the prompt; stop ids {stops}"


def _tuning(bundle: Bundle) -> str:
    if bundle.tune != contract.LORA:
        return bundle.tune
    lora = bundle.lora
    extras = "" if lora["extras"] == "none" else f" and {lora['extras']}"
    return (
        f"lora of rank {lora['rank']}, alpha {lora['alpha']:g}, on "
        f"{', '.join(lora['targets'])}{extras}"
    )


def _frozen(bundle: Bundle) -> str:
    count = sum(map(math.prod, bundle.frozen.values()))
    return f"{count:,} in {len(bundle.frozen)} tensors, {bundle.base}" if count else "nothing"


def _architecture(bundle: Bundle) -> str:
    config = bundle.config
    return (
        f"{config['num_hidden_layers']} layers x {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, vocabulary {config['vocab_size']}"
    )


def _options(bundle: Bundle) -> tuple[str, str]:
    task = bundle.task
    if bundle.scoring == contract.WORDS:
        words = zip(task.labels, task.words, bundle.word_ids)
        return "label words", ", ".join(f"{label}:{word!r} (id {n})" for label, word, n in words)
    if isinstance(task, TextTask):
        answers = {SFT: "the completion and its end token", CHAT: "the assistant's turns"}
        everything = "every token"
        return "learnt", everything if task.learnt == EVERYTHING else answers[task.form]
    options = ", ".join(cast(CausalTask, task).choice.shown)
    return "options", f"{options}; up to {bundle.option_tokens} tokens each"


def _signatures(bundle: Bundle) -> list[str]:
    """Returns a line for each signature, and one for all slices of the numbered ones."""
    numbered = {
        contract.numbered(stem, index)
        for stem in (contract.INITIALIZE, contract.READ, contract.WRITE)
        for index in range(bundle.slices)
    }
    numbered |= {
        contract.numbered(stem, index)
        for stem in (contract.ADAM_READ, contract.ADAM_WRITE)
        for index in range(len(bundle.moment_readers))
    }
    lines = [
        f"{name}({', '.join(_tensors(tensors['inputs']))}) -> "
        f"{', '.join(_tensors(tensors['outputs']))}"
        for name, tensors in bundle.signatures.items()
        if name not in numbered
    ]
    state = _size(_of_slices(bundle, contract.READ, "outputs"))
    replaced = _size(_of_slices(bundle, contract.WRITE, "inputs"))
    return [
        *lines,
        *_moments(bundle),
        f"{_range(contract.INITIALIZE, bundle.slices)}() -> {contract.DONE}: the initial values",
        f"{_range(contract.READ, bundle.slices)}() -> the trainable state: {state}",
        f"{_range(contract.WRITE, bundle.slices)}(what read gives: {replaced}) -> {contract.DONE}",
    ]


def _moments(bundle: Bundle) -> list[str]:
    """Returns a line for each way of the moments, none for a bundle without them."""
    if not bundle.moment_readers:
        return []
    size = _size([bundle.signatures[name]["outputs"] for name in bundle.moment_readers])
    count = len(bundle.moment_readers)
    return [
        f"{_range(contract.ADAM_READ, count)}() -> the moments: {size}",
        f"{_range(contract.ADAM_WRITE, count)}(what adam_read gives: {size}) -> {contract.DONE}",
    ]


def _slices(bundle: Bundle) -> list[str]:
    """Returns a heading for each slice, and its tensors."""
    lines = []
    for index, tensors in enumerate(_of_slices(bundle, contract.READ, "outputs")):
        lines += [f"{index}: {_size([tensors])}", *(f"  {line}" for line in _tensors(tensors))]
    return lines


def _of_slices(bundle: Bundle, stem: str, side: str) -> list[dict]:
    """Returns {name: (dtype, shape)} of each slice's signature."""
    return [
        bundle.signatures[contract.numbered(stem, index)][side] for index in range(bundle.slices)
    ]


def _range(stem: str, count: int) -> str:
    first, last = contract.numbered(stem, 0), contract.numbered(stem, count - 1)
    return first if first == last else f"{first} … {last}"


def _size(slices: list[dict]) -> str:
    described = [entry for tensors in slices for entry in tensors.values()]
    size = sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in described)
    return f"{len(described):,} variable{'s' * (len(described) != 1)}, {size:,} B"


def _tensors(described: dict) -> list[str]:
    return [f"{name} {dtype}{shape}" for name, (dtype, shape) in described.items()]
