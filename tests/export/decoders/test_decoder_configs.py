"""config.json of the decoders as transformers' classes read it, and what is refused of one."""

import copy
import json

import decoder_cases
import pytest
from checkpoint_files import refusal
from small_runs import complaint, pocketllm

pytestmark = pytest.mark.desktop

ABSENT = object()
ALL = ("llama", "qwen2", "qwen3", "gemma3_text", "smollm3")
WINDOWED = ("qwen2", "qwen3")
BASE = {
    "vocab_size": 67, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "num_hidden_layers": 4,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 2.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
    "original_max_position_embeddings": 32,
}  # fmt: skip
TWO_ROPES = {
    "full_attention": {"rope_type": "default", "rope_theta": 11.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 12.0},
}
WINDOW = {"use_sliding_window": True, "sliding_window": 5}
EVERY_SECOND = ["full_attention", "sliding_attention"] * 2
# (model types, values of config.json beside BASE): odd, and read by transformers.
ODD = {
    "nothing more": (ALL, {}),
    "no heads of keys": (("llama", "smollm3"), {"num_key_value_heads": ABSENT}),
    "null heads of keys": (("llama", "qwen2", "qwen3", "smollm3"), {"num_key_value_heads": None}),
    "null width of heads": (("llama",), {"head_dim": None}),
    "width of heads": (ALL, {"head_dim": 8}),
    "heads that do not divide": (
        ("qwen2", "qwen3", "smollm3"),
        {"hidden_size": 20, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 8},
    ),
    "whole theta": (ALL, {"rope_theta": 500}),
    "null scaling": (ALL, {"rope_scaling": None, "rope_theta": 500.0}),
    "empty scaling": (ALL, {"rope_scaling": {}, "rope_theta": 500.0}),
    "linear": (ALL, {"rope_scaling": LINEAR}),
    "linear by its old key": (ALL, {"rope_scaling": {"type": "linear", "factor": 2}}),
    "theta twice": (ALL, {"rope_scaling": LINEAR | {"rope_theta": 77.0}, "rope_theta": 500.0}),
    "flat ropes": (ALL, {"rope_parameters": {"rope_type": "default", "rope_theta": 123.0}}),
    "flat ropes without a kind": (ALL, {"rope_parameters": {"rope_theta": 123.0}}),
    "both spellings": (ALL, {"rope_parameters": {"rope_theta": 123.0}, "rope_theta": 9.0}),
    "yarn": (ALL, {"rope_scaling": YARN}),
    "yarn of these positions": (ALL, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
    "original positions beside it": (
        ALL, {"rope_scaling": YARN, "original_max_position_embeddings": 48}
    ),
    "original positions beside llama3": (
        ALL, {"rope_parameters": LLAMA3, "original_max_position_embeddings": 48}
    ),
    "llama3": (ALL, {"rope_scaling": LLAMA3, "rope_theta": 1e5}),
    "two ropes": (("gemma3_text",), {"rope_parameters": TWO_ROPES}),
    "two ropes and a scaling": (
        ("gemma3_text",), {"rope_parameters": TWO_ROPES, "rope_scaling": LINEAR}
    ),
    "local theta": (("gemma3_text",), {"rope_local_base_freq": 77, "rope_theta": 99}),
    "a window": (WINDOWED, WINDOW | {"max_window_layers": 1}),
    "a null window": (WINDOWED, WINDOW | {"sliding_window": None, "max_window_layers": 1}),
    "the usual window": (WINDOWED, {"use_sliding_window": True, "max_window_layers": 2}),
    "a window of all layers": (WINDOWED, WINDOW | {"max_window_layers": 0}),
    "a window above all layers": (WINDOWED, WINDOW | {"max_window_layers": 99}),
    "a window that is off": (WINDOWED, {"use_sliding_window": False, "sliding_window": 5}),
    "no window that is off": (WINDOWED, {"use_sliding_window": False, "sliding_window": 0}),
    "windows of layers": (
        ("qwen2", "qwen3", "smollm3"),
        {"layer_types": EVERY_SECOND, "sliding_window": 5, "use_sliding_window": True},
    ),
    "null layer types": (ALL, {"layer_types": None}),
    "layer types of another model": (("llama",), {"layer_types": EVERY_SECOND}),
    "a pattern": (("gemma3_text",), {"sliding_window_pattern": 2}),
    "a saved pattern": (("gemma3_text",), {"_sliding_window_pattern": 2}),
    "a scale of its own": (("gemma3_text",), {"query_pre_attn_scalar": 7}),
    "softcap": (("gemma3_text",), {"final_logit_softcapping": 30.0}),
    "softcap of another model": (("llama", "smollm3"), {"final_logit_softcapping": 30.0}),
    "null switches": (
        ("gemma3_text",), {"attn_logit_softcapping": None, "use_bidirectional_attention": None}
    ),
    "every second layer rotates": (("smollm3",), {"no_rope_layer_interval": 2}),
    "null layers without rope": (("smollm3",), {"no_rope_layers": None}),
    "more layers than there are": (("smollm3",), {"no_rope_layers": [1, 0, 1, 1, 0, 0]}),
    "windows of layers without rope": (
        ("smollm3",),
        {"no_rope_layers": [1, 0, 1, 0], "use_sliding_window": True, "sliding_window": 3},
    ),
    "another activation": (
        ("llama", "qwen2", "qwen3", "smollm3"), {"hidden_act": "gelu_pytorch_tanh"}
    ),
    "biases": (ALL, {"attention_bias": True}),
    "biases of the feed-forward": (("llama", "smollm3"), {"mlp_bias": True}),
    "idle keys": (ALL, {
        "torch_dtype": "bfloat16", "use_cache": False, "attention_dropout": 0.1, "foo": 1,
        "quantization_config": None, "pretraining_tp": 1, "partial_rotary_factor": 1.0,
        "is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {},
    }),
}  # fmt: skip
ODD_CASES = [(model_type, name) for name, (types, _) in ODD.items() for model_type in types]
# name: (values beside BASE, what the line says)
REFUSED = {
    "dynamic": ({"rope_scaling": LINEAR | {"rope_type": "dynamic"}}, "rope_type is 'dynamic'"),
    "longrope": ({"rope_scaling": {"type": "longrope"}}, "rope_type is 'longrope', implemented"),
    "proportional": (
        {"rope_parameters": {"rope_type": "proportional"}}, "rope_type is 'proportional'"
    ),
    "linear without a factor": (
        {"rope_scaling": {"rope_type": "linear"}}, "of the kind 'linear' without factor"
    ),
    "ropes in a list": ({"rope_scaling": [1]}, "rope settings are [1], expected an object"),
    "a factor in words": (
        {"rope_scaling": LINEAR | {"factor": "2"}}, "factor is '2', expected float"
    ),
    "a part of a head": (
        {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, only 1 is implemented"
    ),
    "a part of a head inside": (
        {"rope_parameters": {"partial_rotary_factor": 0.25}}, "partial_rotary_factor is 0.25"
    ),
    "an unknown activation": ({"hidden_act": "mish"}, "hidden_act is 'mish', implemented are"),
    "heads that do not divide": (
        {"hidden_size": 20, "num_attention_heads": 3, "num_key_value_heads": 3},
        "hidden_size 20 is not a multiple of num_attention_heads 3",
    ),
    "groups that do not divide": (
        {"num_key_value_heads": 3}, "4 is not a multiple of num_key_value_heads 3"
    ),
    "ropes of layer types": (
        {"rope_parameters": TWO_ROPES},
        "rope settings of full_attention and sliding_attention, and all layers",
    ),
    "the rope of one layer type": (
        {"rope_parameters": {"sliding_attention": LINEAR}}, "rope settings of sliding_attention,"
    ),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers is 0, expected a positive number"),
    "an odd width": ({"head_dim": 5}, "head_dim 5 is odd, expected pairs"),
    "quantised": (
        {"quantization_config": {"quant_method": "gptq"}}, "quantization_config is {'quant_method'"
    ),
}  # fmt: skip
SLIDING_ALL = ["sliding_attention"] * 4
REFUSED_OF = {
    "llama": {
        "heads": (
            {"hidden_size": 20, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 8},
            "hidden_size 20 is not a multiple",
        ),
        "interleaved": ({"rope_interleaved": True}, "rope_interleaved is True, only False"),
        "pretraining_tp": ({"pretraining_tp": 2}, "pretraining_tp is 2, only 1"),
    },
    "qwen3": {
        "chunks": ({"layer_types": ["chunked_attention"] * 4}, "holds chunked_attention"),
        "no window": ({"layer_types": SLIDING_ALL}, "sliding_window is null; expected a number"),
        "layers": ({"layer_types": SLIDING_ALL[:3]}, "layer_types has 3 entries, expected one for"),
        "too many": ({"layer_types": SLIDING_ALL * 2}, "layer_types has 8 entries"),
    },
    "gemma3_text": {
        "softcap": (
            {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0, only null is"
        ),
        "both ways": (
            {"use_bidirectional_attention": True}, "use_bidirectional_attention is True, only False"
        ),
        "activation": ({"hidden_activation": "mish"}, "hidden_activation is 'mish', implemented"),
        "window": ({"sliding_window": None}, "sliding_window is null"),
        "bounds": ({"rope_scaling": YARN | {"truncate": False}}, "truncate is False, which"),
    },
    "smollm3": {"short": ({"no_rope_layers": [1, 0]}, "no_rope_layers has 2 entries")},
}  # fmt: skip
UNKNOWN_TYPES = ("qwen2_moe", "qwen2_vl", "qwen3_moe", "gemma2", "gemma3n", "mixtral", "phi3")


def config_json(model_type, changes):
    values = {"model_type": model_type, **BASE, **changes}
    return {name: copy.deepcopy(v) for name, v in values.items() if v is not ABSENT}


def read(values):
    from pocketllm.export.models import model_config

    return model_config(values, "config.json")


def as_the_graph_reads(theirs):
    """Returns what the graph depends on of a config of transformers, in DecoderConfig's words."""
    layers, kind = theirs.num_hidden_layers, theirs.model_type
    width = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
    types = ["full_attention"] * layers if kind == "llama" else theirs.layer_types
    rotating = theirs.no_rope_layers[:layers] if kind == "smollm3" else [1] * layers
    gemma, own_mlp_bias = kind == "gemma3_text", kind in ("llama", "smollm3")
    return {
        "num_key_value_heads": theirs.num_key_value_heads,
        "head_dim": width,
        "layer_types": tuple(types),
        "no_rope_layers": tuple(rotating),
        "hidden_act": theirs.hidden_activation if gemma else theirs.hidden_act,
        "attention_bias": kind == "qwen2" or theirs.attention_bias,
        "mlp_bias": own_mlp_bias and theirs.mlp_bias,
        "attention_scale": (theirs.query_pre_attn_scalar if gemma else width) ** -0.5,
        "final_logit_softcapping": theirs.final_logit_softcapping if gemma else None,
    } | {
        name: getattr(theirs, name)
        for name in (
            "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
        )
    }  # fmt: skip


@pytest.mark.parametrize(("model_type", "name"), ODD_CASES)
def test_an_odd_config_is_read_as_transformers_reads_it(model_type, name):
    from transformers import AutoConfig

    values = config_json(model_type, ODD[name][1])
    theirs = AutoConfig.for_model(**copy.deepcopy(values))
    theirs.standardize_rope_params()  # as its models do before they read it

    ours = read(values)

    for key, value in as_the_graph_reads(theirs).items():
        assert getattr(ours, key) == value, key
    if "sliding_attention" in ours.layer_types:
        assert ours.sliding_window == theirs.sliding_window
    ropes = theirs.rope_parameters
    for kind in set(ours.layer_types):
        for key, value in ropes.get(kind, ropes).items():
            if key not in ("type", "partial_rotary_factor") and value is not None:
                assert getattr(ours.rope_parameters[kind], key) == value, (kind, key)


@pytest.mark.parametrize("case", decoder_cases.CASES)
def test_what_transformers_saves_of_a_config_is_the_same_config(case):
    from transformers import AutoConfig

    values = decoder_cases.config_values(case, 67)
    config = AutoConfig.for_model(**copy.deepcopy(values))
    saved = json.loads(config.to_json_string(use_diff=False))
    assert "rope_parameters" in saved and "rope_theta" not in saved

    assert read(saved) == read(values)
    assert read(json.loads(config.to_json_string())) == read(values)
    # As version 4 spells it.
    older = saved | {"torch_dtype": saved.pop("dtype", None)}
    ropes = older.pop("rope_parameters")
    if "full_attention" in ropes:
        older["rope_scaling"] = full = ropes["full_attention"]
        older["rope_theta"] = full.pop("rope_theta")
        older["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
    else:
        older |= {"rope_theta": ropes.pop("rope_theta"), "rope_scaling": ropes}
        ropes["type"] = ropes.pop("rope_type")
    assert read(older) == read(values)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("model_type", ("llama", "qwen2"))
def test_what_no_decoder_implements_is_refused_in_one_line(model_type, name):
    changes, message = REFUSED[name]

    assert message in refusal(read, config_json(model_type, changes))


@pytest.mark.parametrize(
    ("model_type", "name"), [(kind, name) for kind, table in REFUSED_OF.items() for name in table]
)
def test_what_one_decoder_does_not_implement_is_refused_in_one_line(model_type, name):
    changes, message = REFUSED_OF[model_type][name]

    assert message in refusal(read, config_json(model_type, changes))


@pytest.mark.parametrize("model_type", UNKNOWN_TYPES)
def test_relatives_of_these_models_are_refused_by_name(model_type):
    line = refusal(read, config_json(model_type, {}))

    assert f"model_type is {model_type!r}, implemented are" in line


def test_the_command_line_refuses_a_config_and_writes_nothing(tmp_path):
    folder, out = tmp_path / "model", tmp_path / "bundle"
    folder.mkdir()
    values = config_json("llama", {"rope_scaling": LINEAR | {"rope_type": "dynamic"}})
    (folder / "config.json").write_text(json.dumps(values))

    done = pocketllm("export", f"--model={folder}", "--task=sst2", f"--out={out}")

    complaint(done, 2, str(folder / "config.json"), "rope_type is 'dynamic', implemented are")
    assert list(tmp_path.iterdir()) == [folder]
