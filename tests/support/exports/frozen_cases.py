"""Tiny models of every architecture on frozen bases, with all forms of the forward pass."""

from conftest import ENGINES
from forward import forward_inputs
from opt_forward import opt_inputs, task_of
from tuned import random_state

from pocketllm.runtime.contract import FP32, GOLD, INT4, INT8, MASKED, OPTIONS, TOKEN_LOSS, WORDS

EVERY_LAYER = ("query", "key", "value", "dense")
# case: (maker of the checkpoint, its arguments, scoring, settings of the export); LoRA's as a dict
CASES = {
    "roberta, lora and the head": (
        "make_checkpoint", {}, WORDS,
        {"kind": "lora", "lora": {"targets": EVERY_LAYER, "extras": "lm_head"},
         "linear_values": 16 * 10},
    ),
    "roberta, rademacher": (
        "make_checkpoint", {"tied": False}, WORDS,
        {"kind": "lora", "lora": {"rank": 3}, "noise": "rademacher"},
    ),
    "bert, prefix": ("make_encoder", {"model_type": "bert"}, WORDS, {"kind": "prefix"}),
    "bert, gaussian": (
        "make_encoder", {"model_type": "bert"}, WORDS, {"kind": "lora", "noise": "gaussian"}
    ),
    "distilbert, head": (
        "make_encoder", {"model_type": "distilbert"}, WORDS, {"kind": "head", "base": INT8}
    ),
    "modernbert, lora": (
        "make_encoder", {"model_type": "modernbert"}, WORDS, {"kind": "lora", "base": INT8}
    ),
    "modernbert, prefix": ("make_encoder", {"model_type": "modernbert"}, WORDS, {"kind": "prefix"}),
    "opt, options": ("make_opt_checkpoint", {}, OPTIONS, {"kind": "prefix", "prefix_tokens": 3}),
    "opt, options in integers": (
        "make_opt_checkpoint", {}, OPTIONS, {"kind": "lora", "base": INT8, "linear_values": 16 * 99}
    ),
    "opt, head": ("make_opt_checkpoint", {"tied": False}, WORDS, {"kind": "head", "base": INT4}),
    "opt, words of a head in chunks": (
        "make_opt_checkpoint", {"tied": False}, WORDS,
        {"kind": "lora", "linear_values": 16 * 96, "context": 40},
    ),
    "opt, words of a head in chunks of integers": (
        "make_opt_checkpoint", {"tied": False}, WORDS,
        {"kind": "lora", "base": INT8, "linear_values": 16 * 96, "context": 40},
    ),
    "llama, gold": ("make_decoder", {"case": "llama_wide"}, GOLD, {"kind": "lora"}),
    "qwen2, tokens": (
        "make_decoder", {"case": "qwen2"}, TOKEN_LOSS, {"kind": "lora", "base": INT4}
    ),
    "qwen3, prefix": ("make_decoder", {"case": "qwen3"}, WORDS, {"kind": "prefix", "base": INT8}),
    "gemma3, tokens": ("make_decoder", {"case": "gemma3"}, TOKEN_LOSS, {"kind": "prefix"}),
    "smollm3, lora": ("make_decoder", {"case": "smollm3"}, WORDS, {"kind": "lora", "base": INT8}),
}  # fmt: skip


TWO_BUCKETS = ("roberta, rademacher", "opt, options in integers", "qwen2, tokens")


def export_case(case: str, fixture, lengths=()):
    """Exports a case with pairs and the pure forms.

    Args:
      case: of CASES.
      fixture: name of a fixture -> its value.
      lengths: tokens of the forward signatures; not given: one bucket, and two of TWO_BUCKETS,
        since each is four more graphs to convert.
    """
    lengths = lengths or ((24, 40) if case in TWO_BUCKETS else (40,))
    maker, changes, scoring, settings = CASES[case]
    if maker != "make_decoder":
        changes = {"max_position_embeddings": 64} | changes
    settings = dict(settings)
    if "lora" in settings:
        from pocketllm.export.tune.lora import Lora

        settings["lora"] = Lora(**settings["lora"])
    if maker in ("make_opt_checkpoint", "make_decoder"):
        settings["task"] = task_of(scoring)
    checkpoint = fixture(maker)(**changes)
    return fixture("make_bundle")(checkpoint, lengths=lengths, pairs=True, pure=True, **settings)


def inputs_of(bundle, tokens: int) -> dict:
    """Returns rows of a bucket: a full one, one of weight 2, and a filler."""
    if bundle.style == MASKED:
        return forward_inputs(tokens, bundle.config["vocab_size"], seed=2)
    return opt_inputs(bundle, tokens, seed=2)


def models_of(bundle, open_ready):
    """Yields the model in each engine that takes the base, at parameters that were drawn."""
    for engine in ENGINES if bundle.base == FP32 else ["litert"]:
        model = open_ready(bundle, engine)
        random_state(model, seed=7)
        yield model
