"""Presets: as large as what was published, with a tokenizer whose ids the model has."""

import json

import pytest

from pocketllm.export.api import model_at
from pocketllm.export.models import architecture_of, model_config
from pocketllm.export.sources.kinds import source_of
from pocketllm.runtime import contract
from pocketllm.runtime.tasks import causal, masked
from pocketllm.tflite_models.presets import MEASURED, PRESETS, STAND_IN

# Parameters of transformers' class with its LM head, a tied one counted once.
PUBLISHED = {
    "roberta-base": 124_697_433,
    "roberta-large": 355_412_057,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-1.3b": 1_315_758_080,
    "opt-2.7b": 2_651_596_800,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "qwen2.5-0.5b": 494_032_768,
    "qwen3-0.6b": 596_049_920,
    "gemma3-270m": 268_098_176,
    "gemma3-1b": 999_885_952,
    "llama3.2-1b": 1_235_814_400,
    "bert-base": 109_514_298,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_as_many_parameters_as_the_published_model(name):
    path = PRESETS[name].config_path
    config = model_config(json.loads(path.read_text()), str(path))
    parameters = architecture_of(config).parameters(config, config.tie_word_embeddings)

    assert sum(parameter.values for parameter in parameters) == PUBLISHED[name]


def test_every_preset_without_weights_is_counted():
    assert set(PUBLISHED) == {n for n, preset in PRESETS.items() if not preset.checkpoint_folder}


@pytest.mark.desktop
@pytest.mark.parametrize("name", PUBLISHED)
def test_transformers_reads_a_presets_config_as_the_same_size(name):
    import torch
    import transformers

    values = json.loads(PRESETS[name].config_path.read_text())
    model_class = getattr(transformers, values["architectures"][0])
    with torch.device("meta"):
        model = model_class(model_class.config_class(**values))

    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]


@pytest.mark.desktop
@pytest.mark.parametrize("name", MEASURED)
def test_the_stand_in_tokenizer_fits_the_model_and_every_task(name):
    from pocketllm.export.checkpoint.label_words import label_word_ids, scoring_of
    from pocketllm.export.checkpoint.special_spellings import special_spellings
    from pocketllm.export.checkpoint.tokenizer import read_tokenizer, special_ids

    source = source_of(name, random_init=True)
    architecture, config = model_at(source)
    usual, style = architecture.special_tokens, architecture.style
    read = read_tokenizer(source.tokenizer, usual, architecture.model_type, config.vocab_size)
    ids = special_ids(read.tokenizer, special_spellings(read, usual, style), style)

    assert read.tokenizer.get_vocab_size() < config.vocab_size
    assert ids.bos == 0 and ids.pad == 1
    if style == contract.MASKED:
        for task in masked.TASKS.values():
            assert len(label_word_ids(task, read.tokenizer)) == len(task.words)
    else:
        for task in causal.TASKS.values():
            kind = contract.WORDS if task.words else contract.GOLD
            assert scoring_of(task, read.tokenizer).kind == kind


@pytest.mark.desktop
def test_the_stand_in_tokenizer_is_what_its_module_makes():
    from pocketllm.tflite_models.micro.stand_in import stand_in_files

    files = stand_in_files()

    assert set(files) == {path.name for path in STAND_IN.iterdir()}
    for name, text in files.items():
        assert (STAND_IN / name).read_text(encoding="utf-8") == text
