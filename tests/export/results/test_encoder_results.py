"""What is written of encoders: transformers and PEFT load it and compute the bundle's scores."""

import json
from pathlib import Path

import pytest
from encoder_cases import SIZES
from forward import forward_inputs, model_forward, relative_error
from tuned import lora_bundle, random_state

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64
TOKENS = 16
# (model type, targets, whether the head is tied, extras)
LORAS = [
    ("bert", ("query", "dense"), True, "none"), ("bert", (), False, "lm_head"),
    ("distilbert", ("k_lin", "out_lin", "lin1"), True, "none"),
    ("modernbert", ("Wqkv", "Wo", "Wi"), True, "none"),
]  # fmt: skip


@pytest.fixture
def origin_of(tmp_path):
    """Makes the origin of a bundle: (bundle, checkpoint) -> Origin; its base is the checkpoint."""
    from pocketllm.export.checkpoint.source_files import collect_files, files_of_folder
    from pocketllm.export.results.origin import Origin

    def make(bundle, checkpoint: Path):
        files = collect_files(files_of_folder(checkpoint), str(checkpoint))
        (tmp_path / "out").mkdir()
        return Origin(bundle, files, 0, None, ())

    return make


def check_scores(model, theirs):
    """Asserts that a bundle and transformers' model give the same loss and scores."""
    inputs = forward_inputs(TOKENS, model.bundle.config["vocab_size"], seed=2)
    loss, logits = model_forward(theirs.double().eval(), inputs, model.bundle.word_ids)
    ours = model.engine.run(forward_loss_for(TOKENS), **inputs)
    assert relative_error(ours[LOGITS][:2], logits) <= TOLERANCE
    # A loss near 0 is a difference of logits, whose rounding it has.
    assert abs(ours[LOSS][0] - loss[0]) <= TOLERANCE * abs(logits).max()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", SIZES)
def test_transformers_loads_every_key_and_gives_the_bundles_losses(
    model_type, tied, make_encoder, make_bundle, open_ready, origin_of, tmp_path
):
    from safetensors.numpy import load_file
    from transformers import AutoModelForMaskedLM

    from pocketllm.export.results.checkpoint import write_checkpoint

    checkpoint = make_encoder(model_type=model_type, tied=tied)
    bundle = make_bundle(checkpoint, lengths=(TOKENS,))
    model, out = open_ready(bundle, "litert"), tmp_path / "out"
    random_state(model, seed=7)

    write_checkpoint(out, model, "fp32", origin_of(bundle, checkpoint))

    theirs, report = AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    theirs.save_pretrained(tmp_path / "theirs")
    saved = (load_file(folder / "model.safetensors") for folder in (out, tmp_path / "theirs"))
    ours, expected = ({name: values.dtype for name, values in file.items()} for file in saved)
    assert ours == expected
    check_scores(model, theirs)
    before = json.loads((checkpoint / "config.json").read_text())
    assert json.loads((out / "config.json").read_text()) == before
    for path in {*checkpoint.iterdir()} - {checkpoint / "config.json"}:
        if path.suffix != ".safetensors":
            assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("model_type", "targets", "tied", "extras"), LORAS)
def test_peft_reads_lora_of_any_layers_apart_and_merged(
    model_type, targets, tied, extras, make_encoder, make_bundle, open_ready, origin_of, tmp_path
):
    from peft import AutoPeftModel, PeftModel
    from transformers import AutoModelForMaskedLM

    from pocketllm.export.results.adapter import write_adapter

    checkpoint = make_encoder(model_type=model_type, tied=tied)
    settings = {"rank": 3, "alpha": 5.0, "targets": targets, "extras": extras}
    bundle = lora_bundle(make_bundle, checkpoint, settings, lengths=(TOKENS,))
    model, out = open_ready(bundle, "litert"), tmp_path / "out"
    random_state(model, seed=7)

    write_adapter(out, model, origin_of(bundle, checkpoint))

    theirs = PeftModel.from_pretrained(AutoModelForMaskedLM.from_pretrained(checkpoint), out)
    matrices = [name for name, _ in theirs.named_parameters() if "lora_" in name]
    assert len(matrices) == len([p for p in bundle.parameters if ".lora_" in p.name])
    check_scores(model, theirs)
    check_scores(model, theirs.merge_and_unload())
    check_scores(model, AutoPeftModel.from_pretrained(out))
