"""Prints what a bundle holds: model, task, signatures with shapes, parameters, noise, files.

example:
  pocketllm inspect --bundle=micro
"""

import math
import re

from absl import flags

from .bundle import Bundle, read_bundle
from .session import required

FLAGS = flags.FlagValues()
flags.DEFINE_string("bundle", None, "bundle folder, from `pocketllm export`", flag_values=FLAGS)
flags.DEFINE_bool("parameters", False, "list every parameter", flag_values=FLAGS)


def run(values) -> dict:
    """Inspects; see the module's docstring."""
    required(values, "bundle")
    bundle = read_bundle(values.bundle)
    count = sum(math.prod(p.shape) for p in bundle.parameters)
    task = bundle.task
    words = ", ".join(
        f"{label}:{word!r} (id {number})"
        for label, word, number in zip(task.labels, task.words, bundle.word_ids)
    )
    rows = [
        ("bundle", f"{bundle.folder}, format 1, files intact"),
        ("model", f"{bundle.model_name} ({bundle.family}), {_architecture(bundle)}"),
        ("parameters", f"{count:,} in {len(bundle.parameters)} tensors, all trained, float32"),
        ("decoder", "tied to the word embeddings" if bundle.tied_decoder else "not tied"),
        ("task", f"{task.name}; template {_template(task)}"),
        ("label words", words),
        ("noise", ", ".join(f"{k} {v}" for k, v in bundle.noise.items() if k != "offset")),
        ("files", ", ".join(f"{n} {e['bytes']:,} B" for n, e in bundle.files.items())),
    ]
    for name, text in rows:
        print(f"{name:<12}{text}")
    print("signatures")
    for name, signature in bundle.signatures.items():
        if not re.fullmatch(r"(initialize|read|write)_\d+", name):
            print(f"  {name}({_tensors(signature['inputs'])}) -> {_tensors(signature['outputs'])}")
    last = bundle.slices - 1
    for stem, what in (
        ("initialize", "() -> done: the initial values"),
        ("read", "() -> variables: the trainable state"),
        ("write", "(variables) -> done: replaces it"),
    ):
        print(f"  {stem}_0 … {stem}_{last}{what}, slice by slice")
    if values.parameters:
        for p in bundle.parameters:
            chunks = f", {len(p.variables)} chunks" if len(p.variables) > 1 else ""
            print(f"  {p.name} {list(p.shape)}{chunks}{'' if p.decays else ', no decay'}")
    return {
        "bundle": str(bundle.folder),
        "model_name": bundle.model_name,
        "family": bundle.family,
        "tied_decoder": bundle.tied_decoder,
        "config": bundle.config,
        "task": task.name,
        "labels": list(task.labels),
        "words": list(task.words),
        "word_ids": list(bundle.word_ids),
        "parameters": count,
        "batch_size": bundle.batch_size,
        "lengths": list(bundle.lengths),
        "noise": bundle.noise,
        "signatures": bundle.signatures,
        "files": bundle.files,
    }


def _architecture(bundle: Bundle) -> str:
    config = bundle.config
    return (
        f"{config['num_hidden_layers']} layers x {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, vocabulary {config['vocab_size']}"
    )


def _template(task) -> str:
    shown = {"mask": lambda p: "<mask>", "field": lambda p: f"{{{p.text}}}"}
    return repr("".join(shown.get(p.kind, lambda p: p.text)(p) for p in task.pieces))


def _tensors(described) -> str:
    return ", ".join(f"{name} {dtype}{shape}" for name, (dtype, shape) in described.items())
