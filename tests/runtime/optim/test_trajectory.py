"""MeZO steps through the signatures against as many in PyTorch, fed the same z and batches."""

import pytest
from opt_reference import EXCERPTS
from small_runs import rows, run_config, write_tsv
from trajectory import STEPS, check, compare

from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.tflite_models.presets import MICRO

# name: (checkpoint, export, hyperparameters, batch size: above and below the bundle's 3 rows)
CASES = {
    "constant": ({}, {"chunk_values": 16 * 100, "linear_values": 200}, {"lr": 1e-3}, 7),
    "decay_linear": (
        {"tied": False, "hidden_act": "relu", "type_vocab_size": 2},
        {"slice_bytes": 8192},
        {"lr": 1e-3, "weight_decay": 0.5, "lr_schedule": "linear"},
        2,
    ),
    "gaussian": ({"num_hidden_layers": 1}, {"noise": "gaussian"}, {"lr": 1e-3}, 3),
    "rademacher": ({"num_hidden_layers": 1}, {"noise": "rademacher"}, {"lr": 1e-3}, 4),
}

# OPT: (task, checkpoint, export, hyperparameters, batch size)
OPT_CASES = {
    "words": (
        "sst2",
        {},
        {"chunk_values": 16 * 100, "linear_values": 16 * 7},
        {"lr": 1e-3},
        7,
    ),
    "words_decay": (
        "cb",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 8, "tied": False},
        {"slice_bytes": 8192},
        {"lr": 1e-3, "weight_decay": 0.5, "lr_schedule": "linear"},
        2,
    ),
    "gold": ("copa", {"enable_bias": False}, {"chunk_values": 16 * 100}, {"lr": 1e-3}, 4),
}


@pytest.mark.desktop
@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_follow_pytorch(
    case, engine, make_checkpoint, make_bundle, open_ready, tmp_path
):
    changes, settings, hyper, batch_size = CASES[case]
    checkpoint = make_checkpoint(**changes)
    bundle = make_bundle(checkpoint, **settings)
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    hyper = hyper | {"eps": 1e-2, "batch_size": batch_size, "seed": 3}
    config = run_config(bundle, data, steps=STEPS, **hyper)
    model = open_ready(bundle, engine)

    check(compare(bundle, checkpoint, data, config, model=model, folder=tmp_path / "run"))


@pytest.mark.desktop
@pytest.mark.parametrize("case", OPT_CASES)
def test_twenty_steps_of_opt_follow_pytorch(
    case, engine, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    task, changes, settings, hyper, batch_size = OPT_CASES[case]
    checkpoint = make_opt_checkpoint(max_position_embeddings=600, **changes)
    # The tiny vocabulary spells the excerpts letter by letter.
    bundle = make_bundle(checkpoint, task=task, lengths=(128, 256), **settings)
    excerpt = "sst2.tsv" if task == "sst2" else f"{task}.jsonl"
    data = load_dataset(EXCERPTS / excerpt, bundle, training=True)
    hyper = hyper | {"eps": 1e-2, "batch_size": batch_size, "seed": 3}
    config = run_config(bundle, data, steps=20, **hyper)
    model = open_ready(bundle, engine)

    check(compare(bundle, checkpoint, data, config, model=model, folder=tmp_path / "run"))


@pytest.mark.desktop
def test_fifty_steps_of_roberta_micro_follow_pytorch(make_bundle, open_ready, tmp_path):
    bundle = make_bundle(MICRO, batch_size=8, lengths=(32, 64))
    data = load_dataset(MICRO / "sst2_train.tsv", bundle)
    config = run_config(bundle, data, steps=STEPS, lr=3e-4, eps=1e-3, batch_size=12)

    model = open_ready(bundle, "litert")

    check(compare(bundle, MICRO, data, config, model=model, folder=tmp_path / "run"))
