"""`pocketllm train` with gradients, from outside: flags, refusals, results."""

import math

import pytest
from gradient_runs import finished, lines_of
from small_runs import complaint, pocketllm

from pocketllm.runtime.journal.lines import read_evaluations
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.parameters import MOMENTS, kept_steps

pytest_plugins = ["gradient_runs"]
pytestmark = pytest.mark.desktop

OPTIMIZERS = ("adam", "sgd")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_is_trained_made_longer_evaluated_and_written(
    optimizer, arguments, bundles, files, tmp_path
):
    run, whole = tmp_path / "run", tmp_path / "whole"
    flags = {"optimizer": optimizer, "dev": files[1], "eval_every": 2, "weight_decay": 0.1}

    finished(*arguments(steps=4, **flags))
    finished(*arguments(steps=8, **flags))

    finished(*arguments(steps=8, run=whole, **flags))
    assert (run / JOURNAL).read_bytes() == (whole / JOURNAL).read_bytes()
    assert read_evaluations(run) == read_evaluations(whole)
    assert [line["step"] for line in lines_of(run)] == list(range(1, 9))
    assert all(line["norm"] > 0 and line["share"] == 1 for line in lines_of(run))
    assert bool(kept_steps(run, MOMENTS)) == (optimizer == "adam")
    last = read_evaluations(run)[-1]
    shown = finished(
        "eval", f"--bundle={bundles['lora']}", f"--data={files[1]}", f"--run={run}", "--at_step=8"
    )
    assert f"loss {last.loss:.4f}" in shown and "at step 8" in shown
    finished("replay", f"--bundle={bundles['lora']}", f"--run={run}", "--at_step=8",
             f"--out={tmp_path / 'adapter'}")  # fmt: skip
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    assert f'"optimizer": "{optimizer}"' in (run / "config.json").read_text()


def test_the_lines_follow_clipping_warm_up_and_cosine(arguments, tmp_path):
    flags = {"clip_norm": 0.05, "warmup_steps": 2, "lr_schedule": "cosine", "lr": 0.1}

    finished(*arguments(optimizer="sgd", **flags))

    lines = lines_of(tmp_path / "run")
    rates = [0.05, 0.1, *(0.05 * (1 + math.cos(math.pi * n / 4)) for n in range(4))]
    assert [line["lr"] for line in lines] == pytest.approx(rates, rel=1e-12)
    for line in lines:
        assert line["share"] == pytest.approx(min(1, 0.05 / (line["norm"] + 1e-6)), rel=1e-12)
    assert min(line["share"] for line in lines) < 1
    steps = list(read_journal(tmp_path / "run" / JOURNAL).steps)
    fields = ("step", "loss", "lr", "norm", "share")
    assert [[getattr(step, name) for name in fields] for step in steps] == [
        [line[name] for name in fields] for line in lines
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_clipping_and_warm_up_change_what_follows_the_first_step(optimizer, arguments, tmp_path):
    losses = {}
    for name, flags in {
        "plain": {}, "clipped": {"clip_norm": 1e-3}, "warm": {"warmup_steps": 3},
    }.items():  # fmt: skip
        finished(*arguments(optimizer=optimizer, run=tmp_path / name, **flags))
        losses[name] = [line["loss"] for line in lines_of(tmp_path / name)]

    assert losses["plain"][0] == losses["clipped"][0] == losses["warm"][0]
    assert losses["plain"][1] != losses["warm"][1]
    if optimizer == "sgd":  # Adam's steps do not depend on the gradient's length
        assert losses["clipped"][1] != losses["plain"][1]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"clip_norm": -1}, "--clip_norm=-1.0: expected 0 or more"),
        ({"clip_norm": "nan"}, "--clip_norm=nan: expected 0 or more"),
        ({"warmup_steps": -1}, "--warmup_steps=-1: expected a number from 0 to 2147483647"),
        ({"optimizer": "mezo", "clip_norm": 1}, "--clip_norm is a setting of adam, sgd; leave"),
        ({"optimizer": "mezo", "warmup_steps": 1}, "--warmup_steps is a setting of adam, sgd"),
        ({"optimizer": "sgd", "directions": 4}, "--directions is a setting of fzoo; leave it out"),
        ({"optimizer": "sgd", "normalize": "true"}, "--normalize is a setting of mezo; leave it"),
        ({"lr_schedule": "exponential"}, ("--lr_schedule", "constant|linear|cosine")),
        ({"bundle": "full", "optimizer": "sgd"}, "--optimizer=sgd: this bundle has no signature"),
        ({"bundle": "full", "clip_norm": 1, "batch_size": 2}, "--clip_norm: this bundle has no"),
        ({"bundle": "full", "batch_size": 5}, "--batch_size=5: a step of --optimizer=adam is one"),
        ({"bundle": "bare"}, "optimizers are mezo, expected adam among them; export it with"),
        ({"bundle": "bare", "optimizer": "sgd"}, "optimizers are mezo, expected adam among them"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(flags, text, arguments, tmp_path):
    texts = text if isinstance(text, tuple) else (text,)

    complaint(pocketllm(*arguments(**flags)), 2, *texts)

    assert not (tmp_path / "run").exists()
