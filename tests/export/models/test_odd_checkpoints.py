"""Odd configurations and files of every architecture: the logits of transformers."""

import numpy as np
import pytest
from desktop_child import in_child

pytestmark = pytest.mark.desktop

# float32 against float64; measured over all cases: within 7e-7 of the largest logit.
TOLERANCE = 2e-6
# transformers' ModernBERT rotates in float32, whatever the weights are; measured: within 6e-6.
TOLERANCES = {"modernbert": 1e-5}

EMBEDDINGS, DECODER = "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"
TOKENS, LM_HEAD = "model.decoder.embed_tokens.weight", "lm_head.weight"
LAST_NORM = "model.decoder.final_layer_norm"
CLASSIFIER = {"classifier.weight": (2, 16), "classifier.bias": (2,)}
ABSENT = ("bos_token_id", "eos_token_id", "use_cache", "transformers_version", "dtype")

ROBERTA = {
    "as saved": {},
    "keys without meaning absent": {"file": dict.fromkeys(ABSENT, "absent")},
    "pad_token_id absent": {"file": {"pad_token_id": "absent"}},
    "pad_token_id 0": {"config": {"pad_token_id": 0}},
    "pad_token_id 5": {"config": {"pad_token_id": 5}},
    "pad_token_id 9": {"config": {"pad_token_id": 9}},
    "type_vocab_size absent": {
        "config": {"type_vocab_size": 2}, "file": {"type_vocab_size": "absent"}
    },
    "layer_norm_eps absent": {
        "config": {"layer_norm_eps": 1e-12}, "file": {"layer_norm_eps": "absent"}
    },
    "hidden_act absent": {"file": {"hidden_act": "absent"}},
    "hidden_act gelu_fast": {"config": {"hidden_act": "gelu_fast"}},
    "hidden_act gelu_python": {"config": {"hidden_act": "gelu_python"}},
    "tie_word_embeddings absent": {"file": {"tie_word_embeddings": "absent"}},
    "three token types": {"config": {"type_vocab_size": 3}},
    "dropouts": {"config": {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}},
    "chunked feed-forward": {"config": {"chunk_size_feed_forward": 3}},
    "not tied": {"config": {"tied": False}},
    "tied, with a second copy": {"copies": {EMBEDDINGS: DECODER}},
    "tied, under the head's name": {"names": {EMBEDDINGS: DECODER}},
    "tied, but two matrices": {"config": {"tied": False}, "file": {"tie_word_embeddings": True}},
    "the bias under the decoder's name": {"names": {"lm_head.bias": "lm_head.decoder.bias"}},
    "a classifier": {"extra": CLASSIFIER},
    "a pooler": {"extra": {"roberta.pooler.dense.weight": (16, 16)}},
    "a layer more than the config says": {"file": {"num_hidden_layers": 1}},
    "gamma and beta": {
        "names": {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    },
    "float16": {"dtype": "float16"},
    "bfloat16 in a .bin": {"dtype": "bfloat16", "pickled": True},
    "float64": {"dtype": "float64"},
    "module.": {
        "names": {"roberta.": "module.roberta.", "lm_head.": "module.lm_head."}, "foreign": True
    },
    "roberta.roberta.": {"names": {"roberta.": "roberta.roberta."}, "foreign": True},
    "the base without its prefix": {"names": {"roberta.": ""}, "foreign": True},
    "a state dict of a trainer": {"wrapped": "state_dict", "foreign": True},
}  # fmt: skip
OPT = {
    "as saved": {},
    "keys without meaning absent": {"file": dict.fromkeys(ABSENT, "absent")},
    "defaults absent": {
        "file": dict.fromkeys(
            ("do_layer_norm_before", "enable_bias", "layer_norm_elementwise_affine",
             "word_embed_proj_dim", "activation_function", "_remove_final_layer_norm"), "absent")
    },
    "pad_token_id null": {"config": {"pad_token_id": None}},
    "pad_token_id 5": {"config": {"pad_token_id": 5}},
    "pad_token_id -1": {"file": {"pad_token_id": -1}},
    "word_embed_proj_dim null": {"file": {"word_embed_proj_dim": None}},
    "gelu, no biases, no affine norms": {
        "config": {"activation_function": "gelu", "enable_bias": False,
                   "layer_norm_elementwise_affine": False}
    },
    "no biases": {"config": {"enable_bias": False}},
    "no affine norms": {"config": {"layer_norm_elementwise_affine": False}},
    "norms behind": {"config": {"do_layer_norm_before": False}},
    "opt-350m's shape": {"config": {"do_layer_norm_before": False, "word_embed_proj_dim": 8}},
    "wider embeddings": {"config": {"word_embed_proj_dim": 24}},
    "no last norm": {"config": {"_remove_final_layer_norm": True}},
    "a last norm that is switched off": {
        "config": {"_remove_final_layer_norm": True},
        "extra": {f"{LAST_NORM}.weight": (16,), f"{LAST_NORM}.bias": (16,)},
    },
    "a last norm, norms behind": {
        "config": {"do_layer_norm_before": False},
        "extra": {f"{LAST_NORM}.weight": (16,), f"{LAST_NORM}.bias": (16,)},
    },
    "biases that are switched off": {"file": {"enable_bias": False}},
    "affine norms that are switched off": {"file": {"layer_norm_elementwise_affine": False}},
    "silu": {"config": {"activation_function": "silu"}},
    "gelu_accurate": {"config": {"activation_function": "gelu_accurate"}},
    "dropouts and layerdrop": {"config": {"dropout": 0.5, "layerdrop": 0.5}},
    "not tied": {"config": {"tied": False}},
    "not tied, narrow": {"config": {"tied": False, "word_embed_proj_dim": 8}},
    "tied, with a second copy": {"copies": {TOKENS: LM_HEAD}},
    "tied, under the head's name": {"names": {TOKENS: LM_HEAD}},
    "tied, but two matrices": {"config": {"tied": False}, "file": {"tie_word_embeddings": True}},
    "a score": {"extra": {"score.weight": (2, 16)}},
    "a layer more than the config says": {"file": {"num_hidden_layers": 1}},
    "as published, decoder.": {"names": {"model.decoder.": "decoder."}, "pickled": True},
    "float16 in a .bin": {"dtype": "float16", "pickled": True},
    "bfloat16": {"dtype": "bfloat16"},
    "_orig_mod.": {"names": {"model.decoder.": "_orig_mod.model.decoder."}, "foreign": True},
    "Lightning": {
        "names": {"model.decoder.": "model.model.decoder."},
        "wrapped": "state_dict", "foreign": True,
    },
    "DeepSpeed": {
        "names": {"model.decoder.": "module.model.decoder."}, "wrapped": "module", "foreign": True
    },
}  # fmt: skip
BERT_HEAD = "cls.predictions"
BERT = {
    "as saved": {},
    "keys without meaning absent": {"file": dict.fromkeys(ABSENT, "absent")},
    "defaults absent": {
        "file": dict.fromkeys(("hidden_act", "type_vocab_size", "layer_norm_eps", "pad_token_id",
                               "tie_word_embeddings", "is_decoder"), "absent")
    },
    "pad_token_id null": {"config": {"pad_token_id": None}},
    "pad_token_id -1": {"file": {"pad_token_id": -1}},
    "pad_token_id 9": {"config": {"pad_token_id": 9}},
    "relu, also in the head": {"config": {"hidden_act": "relu"}},
    "one token type": {"config": {"type_vocab_size": 1}},
    "layer_norm_eps 0.01": {"config": {"layer_norm_eps": 1e-2}},
    "of BERT's first config": {"file": {"directionality": "bidi", "pooler_fc_size": 768,
                                        "position_embedding_type": "absolute"}},
    "not tied": {"config": {"tied": False}},
    "tied, under the head's name": {
        "names": {"bert.embeddings.word_embeddings.weight": f"{BERT_HEAD}.decoder.weight"}
    },
    "tied, with second copies": {
        "copies": {"bert.embeddings.word_embeddings.weight": f"{BERT_HEAD}.decoder.weight",
                   f"{BERT_HEAD}.bias": f"{BERT_HEAD}.decoder.bias"}
    },
    "as BertForPreTraining": {
        "extra": {"bert.pooler.dense.weight": (16, 16), "bert.pooler.dense.bias": (16,),
                  "cls.seq_relationship.weight": (2, 16), "cls.seq_relationship.bias": (2,),
                  "bert.embeddings.position_ids": (1, 40)}
    },
    "gamma and beta": {
        "names": {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"},
        "pickled": True,
    },
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "the base without its prefix": {"names": {"bert.": ""}, "foreign": True},
    "module.": {"names": {"bert.": "module.bert.", "cls.": "module.cls."}, "foreign": True},
}  # fmt: skip
DISTILBERT = {
    "as saved": {},
    "keys without meaning absent": {"file": dict.fromkeys(ABSENT, "absent")},
    "defaults absent": {
        "file": dict.fromkeys(
            ("activation", "pad_token_id", "tie_word_embeddings", "sinusoidal_pos_embds"), "absent")
    },
    "as published": {"file": {"tie_weights_": True, "sinusoidal_pos_embds": False,
                              "tie_word_embeddings": "absent"}},
    "tie_weights_ false, which nothing reads": {"file": {"tie_weights_": False}},
    "BERT's names of the sizes": {
        "file": {"dim": "absent", "hidden_size": 16, "n_heads": "absent", "num_attention_heads": 2,
                 "n_layers": 7, "num_hidden_layers": 2}
    },
    "sinusoidal positions": {"config": {"sinusoidal_pos_embds": True}},
    "relu, also in the head": {"config": {"activation": "relu"}},
    "gelu_fast": {"config": {"activation": "gelu_fast"}},
    "four heads": {"config": {"n_heads": 4}},
    "not tied": {"config": {"tied": False}},
    "tied, with a second copy": {
        "copies": {"distilbert.embeddings.word_embeddings.weight": "vocab_projector.weight"}
    },
    "a classifier": {"extra": {"pre_classifier.weight": (16, 16), "classifier.weight": (2, 16)}},
    "float16": {"dtype": "float16"},
    "the base without its prefix": {"names": {"distilbert.": ""}, "foreign": True},
}  # fmt: skip
LOCAL, GLOBAL = "sliding_attention", "full_attention"
VERSION_4 = {"rope_parameters": "absent", "layer_types": "absent", "global_attn_every_n_layers": 2}
MODERNBERT = {
    "as saved": {},
    "keys without meaning absent": {"file": dict.fromkeys(ABSENT, "absent")},
    "defaults absent": {
        "config": {"num_hidden_layers": 4, "global_attn_every_n_layers": 3},
        "file": dict.fromkeys(
            ("norm_eps", "norm_bias", "attention_bias", "mlp_bias", "decoder_bias",
             "classifier_bias", "classifier_activation", "hidden_activation", "layer_types",
             "rope_parameters", "tie_word_embeddings"), "absent")
    },
    "as version 4 spells it": {
        "file": VERSION_4 | {"global_rope_theta": 50.0, "local_rope_theta": 20.0,
                             "position_embedding_type": "absolute", "reference_compile": None}
    },
    "rope_scaling": {
        "file": VERSION_4 | {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    },
    "rope of one kind": {
        "file": {"rope_parameters": {GLOBAL: {"rope_type": "linear", "factor": 2.0,
                                              "rope_theta": 30.0}}}
    },
    "layers of its own": {"config": {"layer_types": [LOCAL, GLOBAL, LOCAL]}},
    "local alone": {"config": {"layer_types": [LOCAL] * 3, "local_attention": 5}},
    "every norm's bias": {"config": {"norm_bias": True}},
    "biases": {"config": {"attention_bias": True, "mlp_bias": True, "classifier_bias": True}},
    "no bias of the decoder": {"config": {"decoder_bias": False}},
    "relu, tanh in the head": {
        "config": {"hidden_activation": "relu", "classifier_activation": "tanh"}
    },
    "not tied": {"config": {"tied": False}},
    "tied, with a second copy": {
        "copies": {"model.embeddings.tok_embeddings.weight": "decoder.weight"}
    },
    "sparse prediction": {"config": {"sparse_prediction": True}},
    "a classifier": {"extra": {"classifier.weight": (2, 16), "classifier.bias": (2,)}},
    "bfloat16": {"dtype": "bfloat16"},
    "module.": {
        "names": {f"{name}.": f"module.{name}." for name in ("model", "head", "decoder")},
        "foreign": True,
    },
}  # fmt: skip
MODELS = {
    "modernbert": MODERNBERT,
    "roberta": ROBERTA,
    "opt": OPT,
    "bert": BERT,
    "distilbert": DISTILBERT,
}
CASES = [(model_type, name) for model_type, cases in MODELS.items() for name in cases]


@pytest.mark.parametrize("model_type, name", CASES)
def test_logits_are_those_of_transformers(model_type, name, tmp_path):
    odd = MODELS[model_type][name]

    ours, theirs = in_child("odd_checkpoints.compare", tmp_path / "odd", model_type, odd)

    assert np.ptp(theirs) > 0.5, "logits that hardly vary prove nothing"
    tolerance = TOLERANCES.get(model_type, TOLERANCE)
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()
