"""What an adapter's folder says: the base it was trained on, the step, the accuracy measured."""

import json
from dataclasses import replace

import pytest

from pocketllm.export.checkpoint.source_files import SourceFiles
from pocketllm.runtime.journal.lines import Evaluated

pytestmark = pytest.mark.desktop

DEV = Evaluated(12, 0.8125, 0.4321987, 32, "d" * 64, {"f1": 0.75})


@pytest.fixture
def origin(golden_bundle):
    """Makes origins of a LoRA run: (base, dev, base model) -> Origin."""
    from pocketllm.export.results.origin import Origin, left_out

    def make(base="int8", dev: Evaluated | None = DEV, name="facebook/opt-125m"):
        lora = {"rank": 4, "alpha": 8.0, "targets": ["query"], "extras": "none"}
        bundle = replace(golden_bundle, tune="lora", base=base, lora=lora)
        return Origin(bundle, SourceFiles(name, {}), 12, dev, left_out(bundle))

    return make


def card(origin):
    from huggingface_hub import ModelCard

    from pocketllm.export.results.adapter_card import adapter_card

    return ModelCard(adapter_card(origin))


@pytest.mark.parametrize("base", ["int8", "int4"])
def test_a_quantised_base_is_named_with_the_accuracy_measured_on_it(base, origin):
    text = card(origin(base)).text

    assert f"matrices were {base} while the adapter trained" in text
    assert "in another precision, fp32 or 16 bit, the adapter's results may differ" in text
    assert "81.2% of 32 dev examples, loss 0.4322, after step 12." in text


def test_a_whole_base_is_named_and_what_was_not_measured_is_said(origin):
    text = card(origin("fp32", None)).text

    assert "The base was in fp32" in text and "may differ" not in text
    assert "nothing (the run has no dev evaluation after step 12)" in text


@pytest.mark.parametrize("name", ["facebook/opt-125m", 'my "own": model', "a\nb: c", "- x", "null"])
def test_the_hub_reads_the_card_whatever_the_base_is_called(name, origin):
    data = card(origin(name=name)).data

    assert (data.base_model, data.library_name) == (name, "peft")
    assert data.tags == ["lora", "pocketllm"]


def test_programs_read_the_same_of_pocketllm_json(origin, golden_bundle):
    from pocketllm.export.results.origin import origin_json

    whole = origin()
    values = origin_json(whole)

    assert values["base_model"] == "facebook/opt-125m" and values["base_storage"] == "int8"
    assert values["bundle_checksum"] == golden_bundle.checksum
    assert values["dev"] == {
        "step": 12, "accuracy": 0.8125, "loss": 0.4321987, "examples": 32,
        "data_sha256": "d" * 64, "metrics": {"f1": 0.75},
    }  # fmt: skip
    assert (values["task"], values["step"], values["left_out"]) == ("sst2", 12, [])
    assert values["prompt"] == golden_bundle.task.template
    assert values["label_words"] == [" terrible", " great"]
    block = [line[4:] for line in card(whole).text.splitlines() if line.startswith("    ")]
    assert json.loads("\n".join(block[block.index("{") :])) == values
    assert origin_json(origin(dev=None))["dev"] is None


def test_the_configuration_is_what_peft_makes_of_the_same_settings(origin):
    from peft import LoraConfig

    from pocketllm.export.results.adapter import adapter_config

    whole = origin()
    masked, causal = (
        adapter_config(replace(whole.bundle, style=style, architecture=architecture), "base")
        for style, architecture in (("masked", "roberta"), ("causal", "opt"))
    )

    theirs = LoraConfig(
        r=4, lora_alpha=8, target_modules=["query"], task_type="CAUSAL_LM", inference_mode=True,
        base_model_name_or_path="base",
    ).to_dict()  # fmt: skip
    assert set(causal) <= set(theirs), "no key that PEFT does not know"
    of_the_hub = replace(whole.bundle, model_commit="c" * 40)
    assert adapter_config(of_the_hub, "base")["revision"] == "c" * 40
    listed = {key: list(v) if isinstance(v, set) else v for key, v in theirs.items()}
    assert causal == {key: listed[key] for key in causal}
    assert masked["task_type"] is None
    assert masked["auto_mapping"] == {
        "base_model_class": "RobertaForMaskedLM",
        "parent_library": "transformers.models.roberta.modeling_roberta",
    }


def test_an_adapter_of_a_text_part_names_the_layers_of_the_whole_model(origin):
    import re

    from pocketllm.export.results.adapter import adapter_config

    plain = origin()
    whole = replace(plain, left_out=("vision_tower.encoder.layers.0.self_attn.query.weight",))
    assert (plain.is_text_part, whole.is_text_part) == (False, True)

    lora = plain.bundle.lora | {"targets": ["q_proj", "model.layers.0.mlp.up_proj"]}
    bundle = replace(plain.bundle, architecture="gemma3_text", style="causal", lora=lora)
    targets = adapter_config(bundle, "base", whole.is_text_part)["target_modules"]
    matched = ["layers.0.self_attn.q_proj", "layers.11.self_attn.q_proj", "layers.0.mlp.up_proj"]
    others = ["layers.1.mlp.up_proj", "layers.0.self_attn.my_q_proj", "layers.0.self_attn.q_proj.x"]
    names = [f"model.language_model.{name}" for name in (*matched, *others)]
    names.append("model.vision_tower.encoder.layers.0.self_attn.q_proj")
    assert [name for name in names if re.fullmatch(targets, name)] == names[: len(matched)]
    assert "import AutoModelForCausalLM" in card(replace(whole, bundle=bundle)).text


def test_the_card_loads_a_base_that_is_a_gguf_file_as_transformers_does(origin):
    whole = origin(name="Tiny")
    of_file = replace(whole, source=SourceFiles("Tiny", {}, "tiny.gguf"))

    assert 'from_pretrained("Tiny")' in card(whole).text
    expected = 'from_pretrained("the folder of the GGUF file", gguf_file="tiny.gguf")'
    assert expected in card(of_file).text
    assert card(of_file).data.base_model == "Tiny"


def test_replay_says_how_a_base_that_is_a_gguf_file_is_found_and_what_step_0_is(origin):
    from pocketllm.export.results.origin import remarks

    whole = origin()
    of_file = replace(whole, source=SourceFiles("Tiny", {}, "tiny.gguf"))

    assert remarks(whole) == []
    (line,) = remarks(of_file)
    assert line.startswith("its base is tiny.gguf, which peft does not find as 'Tiny': README.md ")
    (line,) = remarks(replace(whole, step=0))
    assert line.startswith("step 0 is the model before training; --at_step writes another")
