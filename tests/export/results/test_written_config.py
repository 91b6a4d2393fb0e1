"""config.json as `replay` writes it: transformers reads what it reads in the source."""

import json

import pytest
from sources import ABSENT, HEADS, config_of

pytest_plugins = ["sources"]

pytestmark = pytest.mark.desktop

# What `replay` may change; the first three are checked on their own.
CHANGED = ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path")
# Name -> keys of config.json that are not a fresh one's; ABSENT takes one away.
CONFIGS = {
    "plain": {},
    "dropouts": {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "dropout": 0.4,
                 "attention_dropout": 0.5, "activation_dropout": 0.6, "layerdrop": 0.1},
    "special ids": {"bos_token_id": 7, "eos_token_id": 9, "pad_token_id": 1},
    "several ends": {"eos_token_id": [2, 5]},
    "no special ids": {"bos_token_id": ABSENT, "eos_token_id": ABSENT, "pad_token_id": ABSENT},
    "null special ids": {"bos_token_id": None, "eos_token_id": None},
    "initialisation": {"initializer_range": 0.5, "init_std": 0.25},
    "no cache": {"use_cache": False},
    "labels": {"id2label": {"0": "no", "1": "yes", "2": "maybe"},
               "label2id": {"no": 0, "yes": 1, "maybe": 2}, "problem_type": "regression"},
    "number of labels": {"num_labels": 5, "id2label": ABSENT},
    "a classifier": {"architectures": ["RobertaForSequenceClassification"],
                     "classifier_dropout": 0.7, "finetuning_task": "sst2"},
    "a bare model": {"architectures": ["OPTModel"]},
    "no class": {"architectures": ABSENT},
    "null class": {"architectures": None},
    "several classes": {"architectures": ["OPTForCausalLM", "RobertaForMaskedLM"]},
    "old dtype": {"torch_dtype": "float16", "dtype": ABSENT},
    "new dtype": {"dtype": "bfloat16", "torch_dtype": ABSENT},
    "no dtype": {"dtype": ABSENT, "torch_dtype": ABSENT},
    "tied said": {"tie_word_embeddings": True},
    "tied not said": {"tie_word_embeddings": ABSENT},
    "keys of one's own": {"my_key": {"nested": [1, 2.5, None, "ü", {"deep": True}]},
                          "auto_map": {}, "adapters": []},
    "task parameters": {"task_specific_params": {"a": {"max_length": 3}},
                        "prefix": "x", "max_length": 99},
    "outputs": {"output_attentions": True, "output_hidden_states": True, "return_dict": False},
    "numbers": {"layer_norm_eps": 1e-12, "big": 2**70, "small": 5e-324, "minus": -0.0},
    "text": {"note": "lone \ud83d and whole 🎉, \u2028 and \0", "_name_or_path": "/a/b c"},
    "chunks": {"chunk_size_feed_forward": 2, "cross_attention_hidden_size": None,
               "pruned_heads": {}, "tokenizer_class": None},
    "generation": {"do_sample": True, "temperature": 0.5, "num_beams": 4},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("architecture", HEADS)
def test_transformers_reads_the_config_of_the_source(architecture, name, written, tmp_path):
    from transformers import AutoConfig

    source = tmp_path / "source"
    source.mkdir()
    values = config_of(architecture, CONFIGS[name])
    (source / "config.json").write_text(json.dumps(values))

    out = written(source, architecture, "fp16")

    theirs, ours = (AutoConfig.from_pretrained(folder).to_dict() for folder in (source, out))
    kept = [key for key in theirs if key not in CHANGED]
    assert {key: ours.get(key) for key in kept} == {key: theirs[key] for key in kept}
    assert set(ours) == set(theirs)
    assert str(ours["dtype"]).removeprefix("torch.") == "float16"
    assert HEADS[architecture] in ours["architectures"]
    # The file itself, too: what this transformers does not know, another one may.
    again = json.loads((out / "config.json").read_text())
    assert list(again)[: len(values)] == list(values)
    changed = {key for key in again if again[key] != values.get(key, ABSENT)}
    assert changed <= {"architectures", "dtype", "torch_dtype"}
    assert set(again) - set(values) <= {"architectures", "torch_dtype"}
    assert not {"dtype", "torch_dtype"} <= set(again), "one spelling"


@pytest.mark.parametrize(
    ("config", "tied", "expected"),
    [(True, False, False), (False, True, True), (None, False, False), (ABSENT, False, False)],
)
def test_a_head_that_is_not_as_the_config_says_is_written_down(
    config, tied, expected, written, tmp_path
):
    (tmp_path / "source").mkdir()
    values = config_of("opt", {"tie_word_embeddings": config})
    (tmp_path / "source" / "config.json").write_text(json.dumps(values))

    out = written(tmp_path / "source", "opt", tied=tied)

    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is expected


@pytest.mark.parametrize("dtype, name", [("fp32", "float32"), ("bf16", "bfloat16")])
def test_both_spellings_of_the_dtype_are_changed_where_a_config_has_both(
    dtype, name, written, tmp_path
):
    (tmp_path / "source").mkdir()
    values = config_of("roberta", {"dtype": "float16", "torch_dtype": "float64"})
    (tmp_path / "source" / "config.json").write_text(json.dumps(values))

    again = json.loads((written(tmp_path / "source", "roberta", dtype) / "config.json").read_text())

    assert (again["dtype"], again["torch_dtype"]) == (name, name)


def test_a_byte_order_mark_and_a_key_twice_are_read_as_json_reads_them(written, tmp_path):
    (tmp_path / "source").mkdir()
    text = json.dumps(config_of("opt", {}))[:-1] + ', "dropout": 0.9, "dropout": NaN}'
    (tmp_path / "source" / "config.json").write_bytes(b"\xef\xbb\xbf" + text.encode())

    data = (written(tmp_path / "source", "opt") / "config.json").read_bytes()

    assert data.startswith(b"{") and data.count(b'"dropout": NaN') == 1
    assert data.count(b'"dropout"') == 1
