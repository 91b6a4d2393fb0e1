"""Operations of a loss, as the bench counts them: by hand, and by PyTorch's own counter."""

import json
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pocketllm.benchmarks.bench.flops import forward_flops
from pocketllm.export.models import config_json, model_config
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

CONFIG = {
    "model_type": "roberta",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_act": "gelu",
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "vocab_size": 10,
    "pad_token_id": 1,
}
OPT_CONFIG = {
    "model_type": "opt",
    "hidden_size": 4,
    "ffn_dim": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
    "vocab_size": 10,
}
DECODER_CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "vocab_size": 10,
}


def flops_of(config, tokens, classes, scoring=contract.WORDS):
    """Returns the operations of a bundle of a parsed config.json."""
    values = config_json(model_config(config, "config.json"))
    values = json.loads(json.dumps(values))  # as bundle.json holds it
    words = tuple(range(classes))
    bundle = SimpleNamespace(
        folder="bundle",
        architecture=config["model_type"],
        config=values,
        word_ids=words,
        scoring=scoring,
    )
    return forward_flops(cast(Bundle, bundle), tokens)


def test_flops_of_two_layers_counted_by_hand():
    # D = 4, F = 8, T = 3, C = 2; products written as (rows x inner x columns), 2 operations each.
    full = 4 * (3 * 4 * 4) + 2 * (3 * 4 * 8) + (3 * 4 * 3) + (3 * 3 * 4)
    last = 2 * (3 * 4 * 4) + 2 * (1 * 4 * 4) + 2 * (1 * 4 * 8) + (1 * 4 * 3) + (1 * 3 * 4)
    head = (1 * 4 * 4) + (1 * 4 * 2)

    assert flops_of(CONFIG, tokens=3, classes=2) == 2 * (full + last + head)


def test_opt_flops_of_two_layers_counted_by_hand():
    # D = 4, F = 8, T = 3, C = 2, E = 4, then 6.
    full = 4 * (3 * 4 * 4) + 2 * (3 * 4 * 8) + (3 * 4 * 3) + (3 * 3 * 4)
    last = 2 * (3 * 4 * 4) + 2 * (1 * 4 * 4) + 2 * (1 * 4 * 8) + (1 * 4 * 3) + (1 * 3 * 4)

    plain = flops_of(OPT_CONFIG | {"word_embed_proj_dim": 4}, tokens=3, classes=2)
    projected = flops_of(OPT_CONFIG | {"word_embed_proj_dim": 6}, tokens=3, classes=2)

    assert plain == 2 * (full + last + 1 * 4 * 2)
    assert projected == 2 * ((3 * 6 * 4) + full + last + (1 * 4 * 6) + (1 * 6 * 2))


def test_flops_of_a_gated_decoder_with_grouped_heads_counted_by_hand():
    # D = 4, F = 8, H = 4, G = 2, K = 6, T = 3, C = 2.
    keys_and_values = 2 * (3 * 4 * 2 * 6)
    full = 2 * (3 * 4 * 24) + keys_and_values + 3 * (3 * 4 * 8) + 2 * (4 * 3 * 3 * 6)
    last = 2 * (1 * 4 * 24) + keys_and_values + 3 * (1 * 4 * 8) + 2 * (4 * 1 * 3 * 6)

    assert flops_of(DECODER_CONFIG, tokens=3, classes=2) == 2 * (full + last + 1 * 4 * 2)


def test_a_config_that_is_none_of_ours_is_refused():
    bundle = SimpleNamespace(
        folder="old", architecture="qwen3", config={}, word_ids=(), scoring=contract.WORDS
    )

    with pytest.raises(InputError, match="^old: bundle.json's config: .*; export it again$"):
        forward_flops(cast(Bundle, bundle), tokens=3)


@pytest.mark.desktop
@pytest.mark.parametrize("case", ["roberta", "opt", "opt projected", "qwen3", "gemma3_text"])
def test_flops_are_those_that_pytorch_counts_where_it_computes_no_more(case):
    import tiny
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    from pocketllm.export.models import ARCHITECTURES

    model_type, *projected = case.split()
    configs = {"roberta": tiny.CONFIG, "opt": tiny.OPT_CONFIG}
    config = configs.get(model_type, DECODER_CONFIG) | {"vocab_size": 30}
    config |= {"word_embed_proj_dim": 8} if projected else {}
    model_class = getattr(transformers, ARCHITECTURES[model_type].hf_class)

    def both(layers, tokens, scoring=contract.WORDS):
        changed = config | {"num_hidden_layers": layers}
        with torch.device("meta"):
            settings = model_class.config_class(**changed, attn_implementation="eager")
            model = model_class(settings).eval()
            ids = torch.zeros((1, tokens), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            model(ids)
        described = changed | {"model_type": model_type, "pad_token_id": 1}
        ours = flops_of(described, tokens, 30, scoring)
        return np.array([ours, counter.get_total_flops()])

    # One token: its row is the last layer's only one, and label words can be the vocabulary.
    ours, theirs = both(layers=2, tokens=1)
    assert ours == theirs > 0
    ours, theirs = both(layers=3, tokens=5) - both(layers=2, tokens=5)
    assert ours == theirs > 0
    # PyTorch's forward pass is that of the loss of all tokens.
    ours, theirs = both(layers=2, tokens=5, scoring=contract.TOKEN_LOSS)
    assert ours == theirs > 0
