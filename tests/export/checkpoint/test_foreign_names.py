"""Tensors of other names, more of them or too few: the checkpoint is read or the cause named."""

import json

import pytest
from checkpoint_files import (
    DECODER,
    DECODER_BIAS,
    EMBEDDINGS,
    assert_holds,
    edit_config,
    refusal,
    save_pickled,
    save_single,
    weights_of,
)

pytest_plugins = ["checkpoint_files"]

pytestmark = pytest.mark.desktop

ENCODER = "roberta."


def theirs(folder):
    """What transformers loads of the parameters: {name: values}."""
    from transformers import RobertaForMaskedLM

    return {n: p.detach() for n, p in RobertaForMaskedLM.from_pretrained(folder).named_parameters()}


@pytest.mark.parametrize(
    "heads",
    [
        {"classifier.weight": (2, 16), "classifier.bias": (2,)},
        {"classifier.dense.weight": (16, 16), "classifier.out_proj.weight": (3, 16)},
        {"mlp.dense.weight": (16, 16), "mlp.dense.bias": (16,)},
        {"qa_outputs.weight": (2, 16), "score.weight": (2, 16), "lm_head.weight": (7, 16)},
        {"roberta.encoder.layer.7.output.dense.bias": (16,), "cls.predictions.bias": (5,)},
    ],
)
def test_heads_of_other_tasks_are_ignored_as_transformers_does_and_named(heads, source, tensors):
    import torch

    from pocketllm.export.weights.weights import remarks

    extra = {name: torch.full(shape, torch.nan) for name, shape in heads.items()}  # never read
    save_single(source, tensors | extra)

    weights = weights_of(source)

    assert set(weights.ignored) == set(heads)
    assert_holds(weights, tensors)
    assert_holds(weights, {name: theirs(source)[name] for name in tensors})
    (line,) = remarks(weights)
    assert all(name in line for name in heads)


def test_second_copies_of_what_is_read_are_no_remark(source, tensors):
    from pocketllm.export.weights.weights import remarks

    copies = {DECODER: tensors[EMBEDDINGS].clone(), DECODER_BIAS: tensors["lm_head.bias"].clone()}
    save_single(source, tensors | copies)

    weights = weights_of(source)

    assert set(weights.ignored) == {DECODER, "lm_head.bias"}
    assert remarks(weights) == []


def test_a_shorter_safetensors_beside_a_whole_bin_of_another_name_names_that_file(source, tensors):
    save_pickled(source, {f"module.{name}": values for name, values in tensors.items()})
    save_single(source, {n: v for n, v in tensors.items() if "layer.1." not in n})
    message = refusal(weights_of, source)
    assert "missing roberta.encoder.layer.1." in message
    assert message.endswith("move model.safetensors away to have pytorch_model.bin read")


def test_many_ignored_tensors_are_counted(source, tensors):
    import torch

    from pocketllm.export.weights.weights import remarks

    save_single(source, tensors | {f"extra.{i}": torch.zeros(1) for i in range(30)})
    (line,) = remarks(weights_of(source))
    assert line.endswith(" and 18 more")


def test_a_checkpoint_of_transformers_own_needs_no_remark(source, tensors):
    from pocketllm.export.weights.weights import remarks

    save_single(source, tensors)
    assert remarks(weights_of(source)) == []


@pytest.mark.parametrize("save", [save_single, save_pickled])
def test_a_tied_file_may_hold_its_matrix_and_bias_under_the_heads_names(save, source, tensors):
    renamed = {EMBEDDINGS: DECODER, "lm_head.bias": DECODER_BIAS}
    save(source, {renamed.get(name, name): values for name, values in tensors.items()})

    weights = weights_of(source)

    assert weights.tied and weights.ignored == ()
    assert_holds(weights, tensors)
    assert_holds(weights, {name: theirs(source)[name] for name in tensors})


def test_old_names_of_layer_norms_are_read(source, tensors):
    old = {
        n.replace("orm.weight", "orm.gamma").replace("orm.bias", "orm.beta"): v
        for n, v in tensors.items()
    }
    assert set(old) - set(tensors)
    save_pickled(source, old)
    assert_holds(weights_of(source), tensors)


@pytest.mark.parametrize(
    "rename, removed",
    [
        (lambda name: f"module.{name}", ("'module.'",)),
        (lambda name: f"_orig_mod.{name}", ("'_orig_mod.'",)),
        (lambda name: f"module._orig_mod.{name}", ("'_orig_mod.'", "'module.'")),
        (lambda name: f"model.{name}", ("'model.'",)),
        (lambda name: f"encoder.net.{name}", ("'encoder.net.'",)),
        (lambda name: name.replace("layer.0.", "layer.0._orig_mod."), ("'_orig_mod.'",)),
        (lambda name: f"roberta.{name}" if name.startswith(ENCODER) else name, ("'roberta.'",)),
        (lambda name: name.removeprefix(ENCODER), ()),
    ],
)
def test_prefixes_that_the_whole_model_has_are_taken_off_and_said(rename, removed, source, tensors):
    save_pickled(source, {rename(name): values for name, values in tensors.items()})

    weights = weights_of(source)

    assert_holds(weights, tensors)
    assert weights.removed == removed


@pytest.mark.parametrize("key", ["state_dict", "model", "module", "model_state_dict", "anything"])
def test_a_state_dict_inside_a_training_scripts_dictionary_is_read(key, source, tensors):
    import torch

    state = {"exp_avg": torch.zeros(3)}
    torch.save(
        {"epoch": 3, "optimizer": {"state": {0: state}}, key: tensors},
        source / "pytorch_model.bin",
    )
    assert_holds(weights_of(source), tensors)


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(lambda s, t: {"epoch": t, "model_state_dict": s}, id="epoch"),
        pytest.param(lambda s, t: {"state_dict": s, "best.metric": t}, id="metric"),
        pytest.param(lambda s, t: {"module": s, "rng": t, "optimizer": {"m": t}}, id="rng"),
        pytest.param(lambda s, t: {"anything": s, "epoch": t}, id="own key"),
        pytest.param(lambda s, t: {"model": {"state_dict": s}}, id="two deep"),
        pytest.param(lambda s, t: {"model": {"net": {"module": s}}, "step": t}, id="three deep"),
        pytest.param(lambda s, t: s | {"logit_scale": t, "extra": {"a.b": t}}, id="not wrapped"),
        pytest.param(lambda s, t: {"model": s, "ema": s, "rng": t}, id="average"),
    ],
)
def test_a_state_dict_beside_other_tensors_is_read(wrapped, source, tensors):
    import torch

    torch.save(wrapped(tensors, torch.tensor(3)), source / "pytorch_model.bin")
    assert_holds(weights_of(source), tensors)


def test_two_state_dicts_in_one_file_are_refused_by_their_names(source, tensors):
    import torch

    torch.save({"student": tensors, "teacher": tensors}, source / "pytorch_model.bin")
    message = refusal(weights_of, source)
    assert "holds 'student', 'teacher', several of them tables of tensors" in message


def test_two_models_in_one_file_are_refused_by_their_prefixes(source, tensors):
    both = {f"{which}.{n}": v for which in ("query", "key") for n, v in tensors.items()}
    save_pickled(source, both)
    assert "several models, under the prefixes 'key.roberta.' and 'query." in refusal(
        weights_of, source
    )


def test_a_whole_pickled_model_is_named_as_one(source, tensors):
    import torch

    torch.save(torch.nn.Linear(2, 2), source / "pytorch_model.bin")
    message = refusal(weights_of, source)
    assert "it holds torch.nn.modules.linear.Linear, not just tensors" in message
    assert "save_pretrained" in message


@pytest.mark.parametrize("prefix", ["", ENCODER])
def test_an_encoder_without_its_head_is_refused_as_one(prefix, source, tensors):
    encoder = {n: v for n, v in tensors.items() if n.startswith(ENCODER)}
    save_single(source, {prefix + n.removeprefix(ENCODER): v for n, v in encoder.items()})

    message = refusal(weights_of, source)

    assert "no language-modelling head (lm_head.dense.weight," in message
    assert message.endswith("at random; give a checkpoint of RobertaForMaskedLM")


def test_a_headless_safetensors_beside_a_whole_bin_names_that_file(source, tensors):
    save_pickled(source, tensors)
    save_single(source, {n: v for n, v in tensors.items() if n.startswith(ENCODER)})
    message = refusal(weights_of, source)
    assert "no language-modelling head" in message
    assert "pytorch_model.bin beside it holds what is missing" in message
    assert message.endswith("move model.safetensors away to have pytorch_model.bin read")


@pytest.mark.parametrize("kept, absent", [(EMBEDDINGS, DECODER), (DECODER, EMBEDDINGS)])
def test_untied_with_one_matrix_is_refused_as_that(kept, absent, source, tensors):
    matrix = tensors.pop(EMBEDDINGS)
    save_single(source, tensors | {kept: matrix})
    edit_config(source, tie_word_embeddings=False)
    message = refusal(weights_of, source)
    assert f"tie_word_embeddings false, and the file holds one matrix, {kept}" in message
    assert f"no {absent}: transformers would draw it at random" in message


def test_a_resized_vocabulary_is_named_as_one(source, tensors):
    import torch

    rows = len(tensors[EMBEDDINGS])
    tensors[EMBEDDINGS] = torch.zeros(rows + 7, 16)
    tensors["lm_head.bias"] = torch.zeros(rows + 7)
    save_single(source, tensors)
    message = refusal(weights_of, source)
    assert f"has {rows + 7} rows, vocab_size in config.json, or by default, is {rows}" in message
    edit_config(source, vocab_size=rows + 7)
    assert_holds(weights_of(source), tensors)


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "roberta.encoder.layer.0.attention.self.query.lora_A",
            "a LoRA adapter that is not merged",
        ),
        ("base_model.model.roberta.x.lora_B.default.weight", "a LoRA adapter that is not merged"),
        ("roberta.encoder.layer.0.output.dense.SCB", "quantised matrices"),
    ],
)
def test_tensors_that_change_the_model_are_not_ignored(name, words, source, tensors):
    import torch

    save_single(source, tensors | {name: torch.zeros(2)})
    message = refusal(weights_of, source)
    assert f"tensor {name}: {words}" in message


def test_another_models_tensors_are_named(source, tensors):
    import torch

    save_single(source, {"transformer.wte.weight": torch.zeros(2, 2)})
    message = refusal(weights_of, source)
    assert "no tensor of RobertaForMaskedLM, found transformer.wte.weight" in message
    save_single(source, {"decoder.sentence_encoder.layers.0.fc1.weight": torch.zeros(2, 2)})
    assert "a checkpoint of fairseq or metaseq; convert it" in refusal(weights_of, source)


def test_a_config_without_a_model_type_is_known_by_its_class(source, tensors):
    save_single(source, tensors)
    edit_config(source, model_type="absent", architectures=["RobertaForSequenceClassification"])
    assert "model_type" not in json.loads((source / "config.json").read_text())
    assert_holds(weights_of(source), tensors)
