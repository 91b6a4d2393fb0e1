"""config.json as transformers' configuration classes read it: what is left out, null, or extra."""

from dataclasses import fields

import pytest
import tiny
from checkpoint_files import refusal
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.desktop

# Values of every key that a graph depends on, and of some that no graph depends on.
COMMON = {"vocab_size": 300, "pad_token_id": 3, "tie_word_embeddings": False}
WRITTEN = {
    "roberta": tiny.CONFIG | COMMON,
    "opt": tiny.OPT_CONFIG | COMMON | {"_remove_final_layer_norm": True},
}
IDLE = {
    "dropout": 0.3, "layerdrop": 0.1, "hidden_dropout_prob": 0.5, "use_cache": False,
    "classifier_dropout": None, "id2label": {"0": "no"}, "torch_dtype": "float16",
    "chunk_size_feed_forward": 4, "gradient_checkpointing": True, "transformers_version": "2.1",
    "initializer_range": 0.5, "init_std": 1.0, "bos_token_id": 7, "output_past": True,
    "finetuning_task": "sst-2", "prefix": "</s>", "use_bfloat16": False, "pruned_heads": {},
}  # fmt: skip


def read(model_type, values):
    from pocketllm.export.models import model_config

    return model_config({"model_type": model_type, **values}, "config.json")


@pytest.mark.parametrize("model_type", WRITTEN)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_a_config_leaves_out_is_transformers_default_and_null_leaves_out(model_type, data):
    from transformers import AutoConfig

    written = WRITTEN[model_type]
    # Of heads the default, 12, divides no width of a tiny model.
    removable = st.sampled_from(sorted(set(written) - {"num_attention_heads"}))
    absent = data.draw(st.sets(removable), "absent")
    extra = data.draw(st.sets(st.sampled_from(sorted(IDLE))), "extra")
    values = {name: value for name, value in written.items() if name not in absent}
    values |= {name: IDLE[name] for name in extra}
    theirs = AutoConfig.for_model(model_type, **{n: v for n, v in values.items() if n in written})

    ours = read(model_type, values)

    for field in fields(ours):
        assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    assert read(model_type, values | dict.fromkeys(absent)) == ours


@pytest.mark.parametrize("model_type", WRITTEN)
def test_an_empty_config_is_that_of_transformers_class(model_type):
    from transformers import AutoConfig

    theirs, ours = AutoConfig.for_model(model_type), read(model_type, {})

    for field in fields(ours):
        assert getattr(ours, field.name) == getattr(theirs, field.name), field.name


@pytest.mark.parametrize(
    "name", ["position_embedding_type", "is_decoder", "add_cross_attention", "quantization_config"]
)
def test_null_for_what_would_change_the_graph_is_the_usual_graph(name):
    written = WRITTEN["roberta"]
    assert read("roberta", written | {name: None}) == read("roberta", written)


def test_opt_does_not_look_at_robertas_keys():
    written = WRITTEN["opt"]
    idle = {"is_decoder": True, "position_embedding_type": "relative_key", "hidden_act": "mish"}
    assert read("opt", written | idle) == read("opt", written)


@pytest.mark.parametrize("other", ["gelu_python", "gelu_fast", "gelu_accurate", "gelu_python_tanh"])
def test_other_names_of_an_activation_are_the_same_function(other):
    import torch
    from transformers.activations import ACT2FN

    ours = read("roberta", WRITTEN["roberta"] | {"hidden_act": other}).hidden_act

    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    torch.testing.assert_close(ACT2FN[other](x), ACT2FN[ours](x), atol=1e-10, rtol=0)


def architectures():
    from pocketllm.export.models import ARCHITECTURES

    return list(ARCHITECTURES)


@pytest.mark.parametrize("layers", [1001, 2_000_000_000])
@pytest.mark.parametrize("model_type", architectures())
def test_more_layers_than_any_model_has_are_refused_before_anything_is_made_of_them(
    model_type, layers
):
    name = "n_layers" if model_type == "distilbert" else "num_hidden_layers"

    assert refusal(read, model_type, {name: layers}) == (
        f"config.json: {name} is {layers}, expected at most 1000"
    )


@pytest.mark.parametrize("endless", [{"rope_theta": float("inf")}, {"factor": float("inf")}])
def test_an_endless_rope_setting_is_refused(endless):
    rope = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0} | endless

    line = refusal(read, "llama", {"rope_parameters": rope})

    assert line.startswith("config.json: rope_theta ") and "inf" in line
