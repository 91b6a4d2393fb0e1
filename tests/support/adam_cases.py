"""Models to take gradients and Adam steps of: between them every activation and scoring."""

import tiny
from opt_forward import task_of

from pocketllm.runtime.contract import GOLD, OPTIONS, WORDS

CHUNKS = {"chunk_values": 16 * 100, "linear_values": 200}
# name: (changes of the checkpoint, settings of the export)
ROBERTA = {
    name: ({"hidden_act": name, **changes}, settings)
    for name, (changes, settings) in tiny.CASES.items()
} | {"chunks": ({"hidden_act": "gelu"}, CHUNKS)}
# name: (scoring, changes, settings)
OPT = {
    "words": (WORDS, {}, {"chunk_values": 16 * 70, "linear_values": 16 * 7}),
    "words_untied": (WORDS, {"tied": False}, {"chunk_values": 16 * 90}),
    "words_bare": (WORDS, {"enable_bias": False, "layer_norm_elementwise_affine": False}, {}),
    "options": (OPTIONS, {"activation_function": "gelu"}, {"chunk_values": 16 * 100}),
    "options_untied": (OPTIONS, {"tied": False, "num_attention_heads": 4}, {}),
    "gold_as_opt_350m": (GOLD, {"do_layer_norm_before": False, "word_embed_proj_dim": 8}, {}),
    "gold": (GOLD, {"num_hidden_layers": 3}, {"linear_values": 16 * 7}),
}


def opt_settings(name):
    """Returns (changes of the checkpoint, settings of the export) of an OPT case."""
    scoring, changes, settings = OPT[name]
    return changes, {"task": task_of(scoring), "lengths": (9, 16), **settings}
