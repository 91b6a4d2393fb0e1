"""The bench of steps with gradients: beside MeZO's, PyTorch + peft's, in a limit; its refusals."""

import json
import math

import numpy as np
import pytest
from small_runs import complaint, pocketllm

from pocketllm.benchmarks.bench import flags
from pocketllm.benchmarks.bench.baselines import baselines_of
from pocketllm.benchmarks.bench.steps import exported_lengths
from pocketllm.benchmarks.bench.summary import summarise, times
from pocketllm.benchmarks.bench.table import batch_table, conditions_table, losses_table
from pocketllm.benchmarks.bench.workload import Workload, random_rows
from pocketllm.runtime.errors import InputError

FLAGS = ["--optimizer=adam", "--seq_len=12", "--steps=2", "--threads=1"]
FIGURES = {"step_seconds", "peak_anon_bytes", "peak_rss_bytes"}
WORK = Workload("bundle", "litert", 1, 4, seq_len=8, steps=2, seed=3, second_len=None)
SECONDS = 600  # for a command, on a busy machine


def bench(bundle, *further, out):
    done = pocketllm(
        "bench", f"--bundle={bundle.folder}", *FLAGS, *further, f"--json={out}", timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["optimizer"] == "adam" and len(result["batches"]) == 1
    return done.stdout, result["batches"][0]


def checkpoint_of(name, make_checkpoint, make_opt_checkpoint):
    # The bench reads no RoBERTa whose decoder has a bias of its own.
    return make_checkpoint(tied=True) if name == "roberta" else make_opt_checkpoint()


@pytest.mark.desktop
@pytest.mark.parametrize(
    ("name", "base", "task"),
    [("roberta", "fp32", "sst2"), ("roberta", "int8", "sst2"), ("opt", "fp32", "lm")],
)
def test_adam_on_lora_is_measured_beside_mezo_and_against_peft(
    name, base, task, make_checkpoint, make_opt_checkpoint, make_bundle, tmp_path
):
    checkpoint = checkpoint_of(name, make_checkpoint, make_opt_checkpoint)
    bundle = make_bundle(checkpoint, adam=True, kind="lora", base=base, task=task)
    sides = [f"--full_bundle={make_bundle(checkpoint).folder}", "--against=pytorch"]

    text, batch = bench(
        bundle, *sides, "--batch_sizes=5", "--memory_limit=1G", out=tmp_path / "bench.json"
    )

    ours, mezo, theirs = batch["ours"], batch["mezo"], batch["pytorch_peft"]
    assert all(batch[f"pytorch{suffix}"] is None for suffix in ("", "_row", "_lora"))
    assert ours["micro_batches"] == 2 and ours["buckets"] == [8, 16]
    assert ours["parameters"] == theirs["parameters"] == mezo["parameters"]
    for side in (ours, theirs, batch["packing"], batch["unpacked"], batch["limited"]):
        assert set(side["summary"]) == FIGURES
        assert [step["step"] for step in side["steps"]] == [2, 3]
        assert [step["loss"] for step in side["steps"]] == pytest.approx(
            [step["loss"] for step in theirs["steps"]], rel=1e-5 if base == "fp32" else 0.1
        )
    assert ours["first_loss"] == batch["limited"]["first_loss"] == batch["packing"]["first_loss"]
    assert ours["first_loss"] == pytest.approx(mezo["first_loss"], rel=1e-6)
    assert batch["first_loss_difference_peft"] < (1e-5 if base == "fp32" else 0.1)
    assert len(mezo["steps"][0]["noise_seconds"]) == 3
    seconds = [side["summary"]["step_seconds"] for side in (ours, mezo, theirs)]
    assert batch["times_mezo"]["step_seconds"] == seconds[0] / seconds[1]
    assert batch["ratio_peft"]["step_seconds"] == seconds[2] / seconds[0]
    assert "PyTorch, peft: PyTorch + peft's LoRA with AdamW" in text
    assert f"steps of adam on {task}, 12 tokens" in text and "in 1000 MB: ran to the end" in text
    assert "noise pass" not in text and "losses before the steps, ours: " in text


@pytest.mark.desktop
def test_adam_of_all_parameters_is_measured_against_adamw(
    make_opt_checkpoint, make_bundle, tmp_path
):
    bundle = make_bundle(make_opt_checkpoint(), adam=True)

    _, batch = bench(bundle, "--batch_sizes=3", "--against=pytorch", out=tmp_path / "bench.json")

    assert batch["pytorch_peft"] is None and batch["packing"] is None
    expected = [step["loss"] for step in batch["ours"]["steps"]]
    for suffix in ("", "_row"):
        theirs = batch[f"pytorch{suffix}"]
        assert theirs["parameters"] == batch["ours"]["parameters"]
        assert [step["loss"] for step in theirs["steps"]] == pytest.approx(expected, rel=1e-5)


@pytest.mark.desktop
@pytest.mark.parametrize(("base", "sides"), [("fp32", 1), ("int8", 2)])
def test_fzoo_is_measured_beside_mezo(base, sides, make_checkpoint, make_bundle, tmp_path):
    out = tmp_path / "bench.json"
    bundle = make_bundle(make_checkpoint(tied=True), kind="lora", base=base)
    flags = ["--optimizer=fzoo", *FLAGS[1:], "--batch_sizes=3", f"--json={out}"]

    done = pocketllm("bench", f"--bundle={bundle.folder}", *flags, timeout=SECONDS)

    assert done.returncode == 0, done.stderr
    (batch,) = json.loads(out.read_text())["batches"]
    ours, mezo = batch["ours"], batch["mezo"]
    for step in ours["steps"]:
        assert len(step["losses"]) == len(step["forward_seconds"]) == 8 * sides
        # To each direction and back, the last time with the update; one between two sides.
        assert len(step["noise_seconds"]) == 8 + 7 + 8 + 8 * (sides - 1)
        assert all(map(math.isfinite, step["losses"]))
    assert ours["summary"]["direction_seconds"] == ours["summary"]["step_seconds"] / 8
    assert mezo["summary"]["direction_seconds"] == mezo["summary"]["step_seconds"]
    assert batch["times_mezo"]["direction_seconds"] == (
        ours["summary"]["direction_seconds"] / mezo["summary"]["step_seconds"]
    )
    assert "a direction, s" in done.stdout and "losses of each step's directions" in done.stdout


@pytest.mark.desktop
def test_mezo_is_measured_on_all_tokens_too(make_opt_checkpoint, make_bundle, tmp_path):
    checkpoint, out = make_opt_checkpoint(), tmp_path / "bench.json"
    bundle = make_bundle(checkpoint, kind="lora", task="lm")
    flags = ["--batch_sizes=3", "--against=pytorch", *FLAGS[1:], f"--json={out}"]
    flags.append(f"--full_bundle={make_bundle(checkpoint).folder}")

    done = pocketllm("bench", f"--bundle={bundle.folder}", *flags, timeout=SECONDS)

    assert done.returncode == 0, done.stderr
    (batch,) = json.loads(out.read_text())["batches"]
    assert batch["mezo"] is None and batch["times_mezo"] is None
    for suffix in ("", "_lora"):
        assert batch[f"first_loss_difference{suffix}"] < 1e-5


@pytest.mark.desktop
@pytest.mark.parametrize("architecture", ["roberta", "opt", "llama"])
def test_peft_trains_the_bundles_lora_from_its_initial_values(
    architecture, checkpoint_in_pytorch, make_bundle
):
    import torch

    from pocketllm.benchmarks.bench.pytorch.initial_values import initial_values
    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, row_loss
    from pocketllm.benchmarks.bench.pytorch.peft import add_peft
    from pocketllm.benchmarks.bench.workers.pytorch import adam_step
    from pocketllm.export.tune.lora import Lora

    checkpoint = checkpoint_in_pytorch(architecture)
    bundle = make_bundle(checkpoint, kind="lora", lora=Lora(rank=3, alpha=4.0, extras="lm_head"))
    model = load_model(make_bundle(checkpoint))
    plain = {name: values.clone() for name, values in model.state_dict().items()}

    trained = add_peft(model, bundle)

    for (name, values), tensor in zip(initial_values(bundle), trained, strict=True):
        np.testing.assert_array_equal(tensor.detach().numpy(), values, err_msg=name)
    needing = {id(p) for p in model.parameters() if p.requires_grad}
    assert needing == {id(tensor) for tensor in trained}
    batch = one_batch(random_rows(WORK, bundle, step=0, tokens=8), tokens=8, pad_id=1)
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    losses = [adam_step(optimizer, lambda: row_loss(model, bundle, batch)) for _ in range(3)]
    assert losses[2] < losses[0]
    state, learnt = model.state_dict(), {parameter.name for parameter in bundle.parameters}
    for name, values in plain.items():
        theirs = name if name in state else name.replace(".weight", ".base_layer.weight")
        theirs = theirs if theirs in state else name.replace(".bias", ".base_layer.bias")
        if not {name, name.replace("decoder.bias", "bias")} & learnt:
            assert torch.equal(state[theirs], values), name


def test_the_rows_of_all_tokens_learn_all_but_the_first(golden_bundle):
    from dataclasses import replace

    bundle = replace(golden_bundle, style="causal", scoring="tokens", word_ids=())

    rows = random_rows(WORK, bundle, step=1, tokens=8)

    assert len(rows) == 4 and {row.label for row in rows} == {None}
    for row in rows:
        (sequence,) = row.sequences
        np.testing.assert_array_equal(sequence.loss_mask, [0, 1, 1, 1, 1, 1, 1, 1])
        assert sequence.target == {} and sequence.loss_mask.dtype == np.int32
    assert baselines_of(bundle) == {"": {"full_head": True}}
    lora = replace(bundle, tune="lora")
    assert baselines_of(lora)["_lora"] == {"full_head": True, "lora": True}
    assert baselines_of(lora, "adam") == {"_peft": {"full_head": True, "lora": True}}


def test_the_table_says_how_many_times_as_much_as_mezo():
    step = {"step": 2, "step_seconds": 3.0, "loss": 0.5}
    ours = {"steps": [step], "peak_anon_bytes": 10, "peak_rss_bytes": 0, "first_loss": 0.5}
    ours["summary"] = summarise(ours, 10**9, parameters=1, sgemm_gflops=1.0)
    mezo = ours | {"summary": {"step_seconds": 2.0, "peak_anon_bytes": 20, "peak_rss_bytes": 0}}
    batch = {"batch_size": 8, "ours": ours, "mezo": mezo, "packing": None, "unpacked": ours}
    batch |= {"limited": None, "times_mezo": times(ours["summary"], mezo["summary"])}

    assert set(ours["summary"]) == FIGURES
    assert batch["times_mezo"] == {"step_seconds": 1.5, "peak_anon_bytes": 0.5}
    lines = batch_table(batch).splitlines()
    assert lines[0].split()[2:] == ["ours", "MeZO", "ours/MeZO"]
    assert lines[1].split() == ["step,", "s", "3.000", "2.000", "1.50"]
    assert lines[3].split()[-1] == "-" and lines[4].split()[-3:] == ["0.500000", "0e+00", "apart"]
    assert "forward" not in conditions_table(batch)
    assert losses_table(batch) == "  losses before the steps, ours: 0.50000"


def test_an_export_has_the_buckets_that_are_used():
    assert exported_lengths(64, "mezo") == [32, 64, 128]
    assert exported_lengths(64, "adam") == [32, 64]
    assert exported_lengths(256, "adam") == [128, 256]
    assert exported_lengths(16, "adam") == [16, 32]


def test_a_missing_peft_is_told(monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr(flags, "_is_installed", lambda module: module != "peft")
    values = SimpleNamespace(against="pytorch", optimizer="adam")

    flags.check_installed(values, "full")
    flags.check_installed(SimpleNamespace(against="pytorch", optimizer="mezo"), "lora")
    with pytest.raises(InputError, match="^--against=pytorch: peft is missing; install it$"):
        flags.check_installed(values, "lora")


@pytest.mark.desktop
def test_bundles_that_cannot_take_the_step_are_refused(make_checkpoint, make_bundle):
    checkpoint = make_checkpoint(tied=True)
    plain = make_bundle(checkpoint)
    full, prefix = (make_bundle(checkpoint, adam=True, **kind) for kind in ({}, {"kind": "prefix"}))

    done = pocketllm("bench", f"--bundle={plain.folder}", *FLAGS)
    complaint(done, 2, "the bundle's optimizers are mezo", "export it with --optimizers=mezo,adam")
    done = pocketllm("bench", f"--bundle={full.folder}", *FLAGS, "--batch_sizes=3,4")
    complaint(done, 2, "a step of --optimizer=adam is one graph, this bundle's has 3 rows")
    done = pocketllm("bench", f"--bundle={prefix.folder}", *FLAGS, "--against=pytorch")
    complaint(done, 2, "trains all parameters or LoRA's", "--tune=prefix; leave --against out")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--model=roberta-micro"], "--tune=full is one graph of at most 8 rows, found 64"),
        (["--model=roberta-micro", "--optimizer=sgd"], "--optimizer"),
        (["--model=roberta-micro", "--task=copa"], "--task"),
        (["--bundle=nowhere", "--task=lm"], "--task goes with an export of --model"),
        (["--signal"], "--optimizer is no part of --signal"),
        (["--generate", "--model=opt-micro"], "--optimizer is no part of --generate"),
    ],
)
def test_flags_that_do_not_go_with_adam_are_refused(given, problem):
    complaint(pocketllm("bench", "--optimizer=adam", *given), 2, problem)


@pytest.mark.desktop
def test_a_masked_model_does_not_learn_all_tokens():
    done = pocketllm("bench", "--model=roberta-micro", "--task=lm", timeout=SECONDS)

    complaint(done, 2, "lm")
