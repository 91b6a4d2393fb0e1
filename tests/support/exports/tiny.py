"""Tiny RoBERTa and OPT checkpoints with random weights, and bundles of them.

Every weight is random, biases and layer norms too: at their initial values (0 and 1) a graph that
forgot them would pass.
"""

import json
from pathlib import Path

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
# Whole words of the vocabulary; everything else is spelled byte by byte.
WORDS = (" terrible", " great", " It", " was", " a", " film")
OPT_WORDS = ("Yes", "No", "Maybe")  # behind the line break that ends a SuperGLUE prompt
CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
OPT_CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "ffn_dim": 24,
    "activation_function": "relu",
    "max_position_embeddings": 40,
    "word_embed_proj_dim": 16,
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
}
# One of each activation, and of much else: (changes of CONFIG, settings of `export`).
CASES = {
    "gelu": ({"layer_norm_eps": 1e-12}, {}),
    "gelu_new": (
        {"num_hidden_layers": 1, "num_attention_heads": 1, "type_vocab_size": 2},
        {},
    ),
    "gelu_pytorch_tanh": (
        {"num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 18},
        {},
    ),
    "relu": ({"intermediate_size": 7, "num_attention_heads": 16, "layer_norm_eps": 1e-2}, {}),
    "silu": ({"tied": False, "intermediate_size": 64, "num_hidden_layers": 3}, {}),
    "swish": (
        {"tied": False, "num_hidden_layers": 1, "type_vocab_size": 2},
        {"chunk_values": 16 * 90},
    ),
    "tanh": ({}, {"chunk_values": 16 * 100, "slice_bytes": 8192}),
}


def write_tokenizer(folder: Path, words: tuple[str, ...] = WORDS) -> int:
    """Writes vocab.json and merges.txt of a small byte-level BPE; returns the vocabulary's size."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = []
    for word in words:
        spelled = word.replace(" ", "Ġ")
        for length in range(1, len(spelled)):
            if (pair := (spelled[:length], spelled[length])) not in merges:
                merges.append(pair)
    tokens = [*SPECIAL_TOKENS, *sorted(ByteLevel.alphabet()), *map("".join, merges), "<mask>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    assert len(vocab) == len(tokens)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return len(vocab)


def write_checkpoint(
    folder: Path,
    seed: int = 0,
    tied: bool = True,
    label_words: tuple[str, ...] = (),
    **changes,
) -> Path:
    """Saves a masked language model through transformers.

    Args:
      folder: made here.
      seed: of the weights.
      tied: whether the decoder is the word embeddings.
      label_words: one token each, beside those of WORDS.
      changes: of CONFIG.
    """
    from transformers import RobertaConfig, RobertaForMaskedLM

    folder.mkdir(parents=True)
    vocab_size = write_tokenizer(folder, WORDS + label_words)
    values = {"vocab_size": vocab_size, "tie_word_embeddings": tied} | CONFIG | changes
    save_random(RobertaForMaskedLM(RobertaConfig(**values)), folder, seed)
    return folder


def write_opt_checkpoint(
    folder: Path,
    seed: int = 0,
    tied: bool = True,
    label_words: tuple[str, ...] = (),
    **changes,
) -> Path:
    """Saves a causal language model through transformers; arguments as `write_checkpoint`."""
    from transformers import OPTConfig, OPTForCausalLM

    folder.mkdir(parents=True)
    vocab_size = write_tokenizer(folder, WORDS + OPT_WORDS + label_words)
    values = {"vocab_size": vocab_size, "tie_word_embeddings": tied} | OPT_CONFIG | changes
    save_random(OPTForCausalLM(OPTConfig(**values)), folder, seed)
    return folder


def save_random(model, folder: Path, seed: int) -> None:
    """Draws every weight of transformers' model and saves it.

    What norms multiply with varies around 1: Gemma's weights are what is added to it.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    centre = 0.0 if "gemma" in model.config.model_type else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 2 and "embed" not in name:
                drawn *= 1.5 * parameter.shape[1] ** -0.5  # products of the size of their inputs
            elif parameter.ndim == 1:
                is_norm = "norm" in name.lower() and name.endswith("weight")
                drawn = 0.3 * drawn + (centre if is_norm else 0)
            parameter.copy_(drawn)
    model.save_pretrained(folder)


def export(
    checkpoint: Path,
    out: Path,
    *,
    batch_size: int = 3,
    lengths: tuple[int, ...] = (8, 16),
    noise: str = "codebook",
    task="sst2",
    adam: bool = False,
    pairs: bool = False,
    pure: bool = False,
    option_tokens: int = 0,
    seed: int = 0,
    chunk_values: int | None = None,
    linear_values: int | None = None,
    slice_bytes: int | None = None,
    generate: bool | None = None,
    context: int | None = None,
    **tuning,
) -> Path:
    """Exports a checkpoint folder as `pocketllm export` does; returns the bundle.

    `chunk_values`, `linear_values` and `slice_bytes` cut tables, matrices and slices as if the
    model were large; `task` is a name or a task of the model's style, `tuning` of Tuning.
    """
    import pocketllm.export
    from pocketllm.export.settings import Sizes

    sizes = {
        "chunk_values": chunk_values,
        "linear_values": linear_values,
        "slice_bytes": slice_bytes,
    }
    pocketllm.export.export(
        checkpoint,
        task,
        out,
        batch_size=batch_size,
        lengths=lengths,
        noise=noise,
        optimizers=("mezo", "adam") if adam else ("mezo",),
        pairs=pairs,
        pure=pure,
        option_tokens=option_tokens,
        tuning=pocketllm.export.Tuning(**tuning),
        seed=seed,
        generate=generate,
        context=context,
        sizes=Sizes(**{name: size for name, size in sizes.items() if size}),
    )
    return out
