"""The bench: what it counts, what it compares, how its workers fail. Times are never asserted."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pocketllm.benchmarks.bench import comparison
from pocketllm.benchmarks.bench.flops import forward_flops
from pocketllm.benchmarks.bench.summary import FIGURES, ratios, summarise
from pocketllm.benchmarks.bench.table import ROWS, batch_table
from pocketllm.benchmarks.bench.workers import LITERT
from pocketllm.benchmarks.bench.workload import Workload, random_rows, second_length
from pocketllm.benchmarks.isolation import worker
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import micro_batches
from pocketllm.runtime.errors import InputError, RunError

CONFIG = {
    "model_type": "roberta",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "vocab_size": 10,
    "pad_token_id": 1,
}
# OPT as published, and with embeddings of another width and a head of its own.
OPT_CASES = {
    "plain": {},
    "projected": {"word_embed_proj_dim": 8, "do_layer_norm_before": False},
    "untied": {"tied": False, "word_embed_proj_dim": 24},
}
WORK = Workload("bundle", "litert", 1, 64, seq_len=8, steps=2, seed=3, second_len=16)


def pocketllm(*arguments):
    command = [sys.executable, "-m", "pocketllm.runtime.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bundle"
    flags = "--model=roberta-micro --random_init --seed=5 --task=sst2 --lengths=8,16 --batch_size=2"
    done = pocketllm("export", *flags.split(), f"--out={out}")
    assert done.returncode == 0, done.stderr
    return out


def test_flops_of_two_layers_counted_by_hand():
    # D = 4, F = 8, T = 3, C = 2; products written as (rows x inner x columns), 2 operations each.
    full = 4 * (3 * 4 * 4) + 2 * (3 * 4 * 8) + (3 * 4 * 3) + (3 * 3 * 4)
    last = 2 * (3 * 4 * 4) + 2 * (1 * 4 * 4) + 2 * (1 * 4 * 8) + (1 * 4 * 3) + (1 * 3 * 4)
    head = (1 * 4 * 4) + (1 * 4 * 2)

    assert forward_flops(CONFIG, tokens=3, classes=2) == 2 * (full + last + head)


def test_opt_flops_of_two_layers_counted_by_hand():
    # D = 4, F = 8, T = 3, C = 2, E = 4, then 6.
    full = 4 * (3 * 4 * 4) + 2 * (3 * 4 * 8) + (3 * 4 * 3) + (3 * 3 * 4)
    last = 2 * (3 * 4 * 4) + 2 * (1 * 4 * 4) + 2 * (1 * 4 * 8) + (1 * 4 * 3) + (1 * 3 * 4)
    config = {"hidden_size": 4, "ffn_dim": 8, "num_hidden_layers": 2, "model_type": "opt"}

    plain = forward_flops(config | {"word_embed_proj_dim": 4}, tokens=3, classes=2)
    projected = forward_flops(config | {"word_embed_proj_dim": 6}, tokens=3, classes=2)

    assert plain == 2 * (full + last + 1 * 4 * 2)
    assert projected == 2 * ((3 * 6 * 4) + full + last + (1 * 4 * 6) + (1 * 6 * 2))


@pytest.mark.desktop
@pytest.mark.parametrize("case", ["roberta", "opt", "opt projected"])
def test_flops_are_those_that_pytorch_counts_where_it_computes_no_more(case):
    import tiny
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pocketllm.benchmarks.bench.pytorch.model import CLASSES

    family, *projected = case.split()
    config = {"roberta": tiny.CONFIG, "opt": tiny.OPT_CONFIG}[family] | {"vocab_size": 30}
    config |= {"word_embed_proj_dim": 8} if projected else {}
    config_class, model_class = CLASSES[family]

    def both(layers, tokens):
        changed = config | {"num_hidden_layers": layers}
        with torch.device("meta"):
            settings = config_class(**changed, attn_implementation="eager")
            model = model_class(settings).eval()
            ids = torch.zeros((1, tokens), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            model(ids)
        ours = forward_flops(changed | {"model_type": family}, tokens, classes=30)
        return np.array([ours, counter.get_total_flops()])

    # One token: its row is the last layer's only one, and label words can be the vocabulary.
    ours, theirs = both(layers=2, tokens=1)
    assert ours == theirs > 0
    ours, theirs = both(layers=3, tokens=5) - both(layers=2, tokens=5)
    assert ours == theirs > 0


@pytest.mark.parametrize(
    ("lengths", "seq_len", "expected"),
    [
        ((32, 64, 128), 64, 32),
        ((32, 64, 128), 100, 64),
        ((32, 64, 128), 32, 64),
        ((64,), 64, None),
    ],
)
def test_the_second_bucket_is_the_next_smaller_one_if_there_is_one(lengths, seq_len, expected):
    assert second_length(lengths, seq_len) == expected


def test_only_the_steps_between_warm_up_and_second_bucket_are_timed():
    assert WORK.schedule == [(1, 8, False), (2, 8, True), (3, 8, True), (4, 16, False)]


@pytest.mark.parametrize("style", contract.STYLES)
def test_all_sides_draw_the_same_full_rows_and_never_the_padding(style, golden_bundle):
    bundle = replace(golden_bundle, style=style, config=CONFIG)
    rows = random_rows(WORK, bundle, step=1, tokens=8)
    again = random_rows(WORK, bundle, step=1, tokens=8)
    sequences = [sequence for row in rows for sequence in row.sequences]
    ids = np.stack([sequence.input_ids for sequence in sequences])

    assert ids.shape == (64, 8) and ids.dtype == np.int32
    assert set(ids.flat) == set(range(10)) - {CONFIG["pad_token_id"]}
    if style == contract.MASKED:
        assert all(0 < sequence.target["mask_position"] < 7 for sequence in sequences)
    else:
        assert all(sequence.target == {"last_position": 7} for sequence in sequences)
    assert {row.label for row in rows} == {0, 1} and {row.weight for row in rows} == {1.0}
    assert [row.label for row in rows] == [row.label for row in again]
    np.testing.assert_array_equal(ids, [row.sequences[0].input_ids for row in again])
    other = random_rows(WORK, bundle, step=2, tokens=8)
    assert not np.array_equal(ids, [row.sequences[0].input_ids for row in other])


def test_a_task_of_whole_options_is_refused(golden_bundle):
    bundle = replace(golden_bundle, scoring="gold")

    with pytest.raises(InputError, match="task sst2 scores whole options, .*; use a bundle .*sst2"):
        random_rows(WORK, bundle, step=1, tokens=8)


def test_a_ratio_above_one_is_always_better():
    step = {"step_seconds": 3.0, "forward_seconds": [0.5, 1.5], "noise_seconds": [0.25] * 3}
    ours = {"steps": [step], "peak_anon_bytes": 10, "peak_rss_bytes": 0}
    slow = {name: 2 * value if "seconds" in name else value for name, value in step.items()}
    slow["forward_seconds"], slow["noise_seconds"] = [2.0, 2.0], [0.5] * 4
    theirs = {"steps": [slow], "peak_anon_bytes": 20, "peak_rss_bytes": 5}

    a, b = (summarise(side, 10**9, parameters=10**9, sgemm_gflops=4.0) for side in (ours, theirs))

    assert a["forward_seconds"] == 1.0
    assert (a["forward_gflops"], a["forward_share_of_sgemm"]) == (1.0, 0.25)
    assert a["noise_pass_ns_per_parameter"] == 0.25
    expected = {figure: 2.0 for figure in FIGURES} | {"peak_rss_bytes": None}
    assert ratios(a, b) == expected
    batch = {"batch_size": 8, "ratio": expected, "first_loss_difference": 0.0}
    batch |= {"ours": {"summary": a, "first_loss": 1}, "pytorch": {"summary": b, "first_loss": 1}}
    assert len(batch_table(batch).splitlines()) == len(ROWS) + 2
    assert "PyTorch, row" not in batch_table(batch)


def test_the_table_shows_both_ratios_of_opt():
    summary = dict.fromkeys(FIGURES, 1.0)
    batch = {"batch_size": 8, "ours": {"summary": summary, "first_loss": 0.5}}
    for suffix, ratio in (("", 4.25), ("_row", 3.75)):
        batch[f"pytorch{suffix}"] = {"summary": summary, "first_loss": 0.5}
        batch[f"ratio{suffix}"] = dict.fromkeys(FIGURES, ratio)
        batch[f"first_loss_difference{suffix}"] = ratio * 1e-7

    lines = batch_table(batch).splitlines()

    assert re.split("  +", lines[0])[1:] == ["ours", "PyTorch", "ratio", "PyTorch, row", "ratio"]
    figures = [line.split()[-5:] for line in lines[1 : 1 + len(ROWS)]]
    assert {(theirs[1], theirs[3]) for _, *theirs in figures} == {("4.25", "3.75")}
    assert re.split("  +", lines[-2])[-4::2] == ["0.500000", "0.500000"]
    assert re.split("  +", lines[-2])[-3::2] == ["4e-07 apart", "4e-07 apart"]
    assert lines[-1] == "  PyTorch, row: PyTorch, head on the option row"
    assert all(len(line) <= 100 for line in lines)


def test_losses_that_differ_before_the_first_step_are_refused():
    batch = {"batch_size": 8, "ours": {"first_loss": 0.7}, "pytorch": {"first_loss": 0.8}}

    comparison.check_losses(batch | {"first_loss_difference": 9e-5})
    for difference in (2e-4, float("nan")):
        with pytest.raises(RunError, match="batch 8: .* 0.700000 here and 0.800000 in PyTorch"):
            comparison.check_losses(batch | {"first_loss_difference": difference})
    row = {"pytorch_row": {"first_loss": 0.9}, "first_loss_difference_row": 2e-4}
    with pytest.raises(RunError, match="0.900000 in PyTorch, head on the option row, expected"):
        comparison.check_losses(batch | {"first_loss_difference": 0.0} | row)
    comparison.check_losses({"batch_size": 8, "pytorch": None, "pytorch_row": None})


def test_our_worker_imports_nothing_that_would_count_as_memory_of_ours():
    code = "import sys, pocketllm.benchmarks.bench.workers.litert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pocketllm.benchmarks.bench.workers.litert" in done.stdout.split()
    assert not {"torch", "tensorflow", "transformers"} & set(done.stdout.split())


@pytest.mark.desktop
def test_bench_against_pytorch_writes_a_table_and_json(bundle, tmp_path):
    out = tmp_path / "bench.json"
    done = pocketllm(
        "bench",
        f"--bundle={bundle}",
        "--model=roberta-micro",
        "--batch_sizes=3",
        "--seq_len=16",
        "--steps=2",
        "--threads=1",
        "--against=pytorch",
        f"--json={out}",
    )

    assert done.returncode == 0, done.stderr
    # Slow machines show progress there; nothing native may.
    assert all(line.startswith(("sgemm: ", "batch 3: ")) for line in done.stderr.splitlines())
    assert all(label in done.stdout for label, _, _ in ROWS.values())
    result = json.loads(out.read_text())
    assert (result["model"], result["threads"], result["export"]) == ("roberta-micro", 1, None)
    assert result["sgemm"]["gflops"] > 0
    (batch,) = result["batches"]
    assert (batch["pytorch_row"], batch["ratio_row"]) == (None, None)
    ours, theirs = batch["ours"], batch["pytorch"]
    assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-5)
    assert batch["first_loss_difference"] < 1e-5
    assert (ours["buckets"], ours["micro_batches"]) == ([8, 16], 2)
    for side, passes in ((ours, 3), (theirs, 4)):
        assert [step["step"] for step in side["steps"]] == [2, 3]
        for step in side["steps"]:
            assert len(step["noise_seconds"]) == passes and len(step["forward_seconds"]) == 2
        assert 0 < side["peak_anon_bytes"] < side["peak_rss_bytes"]
        assert set(side["summary"]) == set(FIGURES)
    # A few steps of a tiny learning rate: both sides stay near what the other finds.
    for a, b in zip(ours["steps"], theirs["steps"]):
        assert a["loss_plus"] == pytest.approx(b["loss_plus"], abs=0.2)


@pytest.mark.desktop
def test_bench_measures_opt_against_pytorch_twice(make_opt_checkpoint, make_bundle, tmp_path):
    bundle, out = make_bundle(make_opt_checkpoint()), tmp_path / "bench.json"
    flags = "--batch_sizes=4 --seq_len=16 --steps=2 --threads=1 --against=pytorch"

    done = pocketllm("bench", f"--bundle={bundle.folder}", *flags.split(), f"--json={out}")

    assert done.returncode == 0, done.stderr
    assert "losses at +eps / -eps, PyTorch, row: " in done.stdout
    (batch,) = json.loads(out.read_text())["batches"]
    ours = batch["ours"]
    assert (ours["buckets"], ours["micro_batches"]) == ([8, 16], 2)
    for suffix in ("", "_row"):
        theirs = batch[f"pytorch{suffix}"]
        assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-5)
        assert batch[f"first_loss_difference{suffix}"] < 1e-5
        assert batch[f"ratio{suffix}"] == ratios(ours["summary"], theirs["summary"])
        assert [len(step["noise_seconds"]) for step in theirs["steps"]] == [4, 4]
        assert 0 < theirs["peak_anon_bytes"] < theirs["peak_rss_bytes"]
    # The same weights, inputs and directions: the two sides of PyTorch take the same steps.
    for every_token, row in zip(batch["pytorch"]["steps"], batch["pytorch_row"]["steps"]):
        assert every_token["loss_plus"] == pytest.approx(row["loss_plus"], rel=1e-5)
    # Ours goes elsewhere, but not far: see above.
    for a, b in zip(ours["steps"], theirs["steps"]):
        assert a["loss_plus"] == pytest.approx(b["loss_plus"], abs=0.2)


def test_bench_measures_each_engine_without_pytorch(golden_bundle, engine, tmp_path):
    out = tmp_path / "bench.json"
    tokens = golden_bundle.lengths[-1]
    flags = f"--batch_sizes=1,3 --steps=1 --threads=1 --engine={engine} --seq_len={tokens}"

    done = pocketllm("bench", f"--bundle={golden_bundle.folder}", *flags.split(), f"--json={out}")

    assert done.returncode == 0, done.stderr
    assert "PyTorch" not in done.stdout and "INFO" not in done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert [batch["batch_size"] for batch in result["batches"]] == [1, 3]
    for batch in result["batches"]:
        assert batch["ours"]["runs"].startswith(f"{engine} (")
        assert (batch["pytorch"], batch["ratio"]) == (None, None)
        assert (batch["pytorch_row"], batch["ratio_row"]) == (None, None)


@pytest.mark.desktop
def test_bench_exports_a_preset_and_says_what_that_took(tmp_path):
    out = tmp_path / "bench.json"
    done = pocketllm(
        "bench", "--model=roberta-micro", "--batch_sizes=1", "--seq_len=8", "--steps=1",
        "--noise=rademacher", f"--json={out}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["noise"] == "rademacher"
    assert result["export"]["seconds"] > 0 and result["export"]["peak_rss_bytes"] > 0
    assert result["batches"][0]["pytorch"] is None
    assert result["batches"][0]["ours"]["buckets"] == [8, 32]


@pytest.mark.desktop
def test_the_pytorch_side_starts_from_the_bundles_weights(bundle):
    from pocketllm.benchmarks.bench.pytorch.model import load_model
    from pocketllm.export.models import model_config
    from pocketllm.export.models.weights import random_weights

    described = read_bundle(bundle)
    weights = random_weights(model_config(described.config, "bundle"), seed=5)
    state = load_model(described).state_dict()

    for parameter in weights.parameters:
        np.testing.assert_array_equal(state[parameter.name].numpy(), weights.read(parameter))


@pytest.mark.desktop
@pytest.mark.parametrize("case", OPT_CASES)
def test_both_sides_of_pytorch_give_our_first_loss_of_opt(
    case, make_opt_checkpoint, make_bundle, open_ready
):
    from transformers import OPTForCausalLM

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss

    checkpoint = make_opt_checkpoint(**OPT_CASES[case])
    bundle = make_bundle(checkpoint)
    rows = random_rows(WORK, bundle, step=0, tokens=8)
    model = load_model(bundle)
    loaded = OPTForCausalLM.from_pretrained(checkpoint).state_dict()
    assert model.config.tie_word_embeddings == bundle.tied_decoder == (case != "untied")

    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), loaded[name].numpy())
    batches = micro_batches(rows, bundle.batch_size, bundle.lengths, pad_id=1)
    ours = open_ready(bundle, "litert").loss(batches)
    for full_head in (False, True):
        batch = one_batch(rows, tokens=8, pad_id=1)
        theirs = word_loss(model, batch, bundle.word_ids, full_head).item()
        assert theirs == pytest.approx(ours, rel=1e-5) and theirs > 0.5


@pytest.mark.desktop
@pytest.mark.parametrize("full_head", [False, True])
def test_the_lm_head_runs_on_the_scored_rows_or_on_every_token(
    full_head, make_opt_checkpoint, make_bundle
):
    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss

    bundle = make_bundle(make_opt_checkpoint())
    model, seen = load_model(bundle), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))

    batch = one_batch(random_rows(WORK, bundle, 0, tokens=8), tokens=8, pad_id=1)
    word_loss(model, batch, bundle.word_ids, full_head)

    vocab_size = bundle.config["vocab_size"]
    assert seen == [(64, 8, vocab_size) if full_head else (64, vocab_size)]


@pytest.mark.desktop
def test_a_pytorch_step_moves_every_parameter_by_minus_lr_times_g_times_z(bundle):
    import torch

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss
    from pocketllm.benchmarks.bench.workers.pytorch import forward_only, mezo_step

    described = read_bundle(bundle)
    model = load_model(described)
    parameters = list(model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    batch = one_batch(random_rows(WORK, described, step=1, tokens=8), tokens=8, pad_id=1)
    loss = forward_only(lambda: word_loss(model, batch, described.word_ids, full_head=False))
    seed, lr, eps = 7, 1e-2, 1e-3

    record = mezo_step(parameters, loss, seed=seed, lr=lr, eps=eps, step=1)

    slope = (record["loss_plus"] - record["loss_minus"]) / (2 * eps)
    assert abs(slope) > 1e-3
    torch.manual_seed(seed)
    for parameter, start in zip(parameters, before):
        z = torch.normal(mean=0.0, std=1.0, size=start.size())
        np.testing.assert_allclose(parameter.detach(), start - lr * slope * z, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "--model is missing (or --bundle)"),
        (["--model=gpt"], "--model=gpt: expected a preset (roberta-micro, "),
        (
            ["--model=roberta-micro", "--engine=onnx"],
            "--engine=onnx: value should be one of <litert|tflite>",
        ),
        (["--model=roberta-micro", "--batch_sizes=8,none"], "--batch_sizes=8,none: expected whole"),
        (["--model=roberta-micro", "--batch_sizes=0"], "--batch_sizes=0: expected whole numbers"),
        (["--model=roberta-micro", "--steps=0"], "--steps"),
        (["--model=roberta-micro", "--against=jax"], "--against"),
        (["--bundle=nowhere"], "nowhere"),
        (["--bundle=nowhere", "--noise=gaussian"], "--noise goes with an export of --model"),
    ],
)
def test_bad_flags_are_told_in_one_line(flags, complaint):
    done = pocketllm("bench", *flags)

    assert done.returncode == 2
    assert done.stderr.startswith("pocketllm bench: error: ") and complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.desktop
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--model=roberta-base"], "a bundle of roberta-micro, --model is roberta-base"),
        (["--seq_len=17"], "--seq_len=17: the bundle's longest bucket has 16 tokens"),
    ],
)
def test_flags_that_do_not_fit_the_bundle_are_told_in_one_line(bundle, flags, complaint):
    done = pocketllm("bench", f"--bundle={bundle}", *flags)

    assert done.returncode == 2
    assert complaint in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.desktop
def test_a_bundle_of_whole_options_is_told_in_one_line(make_opt_checkpoint, make_bundle):
    bundle = make_bundle(make_opt_checkpoint(), task="copa")

    done = pocketllm("bench", f"--bundle={bundle.folder}")

    assert done.returncode == 2
    assert done.stderr == (
        f"pocketllm bench: error: {bundle.folder}: task copa scores whole options, the bench "
        "measures label words; use a bundle exported with --task=sst2\n"
    )


@pytest.mark.parametrize(
    ("module", "error", "complaint"),
    [
        (LITERT, InputError, "^a worker: nowhere"),
        ("pocketllm.benchmarks.bench.summary", RunError, "^a worker: it ended without a result"),
        (
            "pocketllm.no_such",
            RunError,
            r"^worker 'a worker' failed \(exit code 1\): .*No module named",
        ),
    ],
)
def test_a_worker_that_fails_is_named_with_its_last_line(module, error, complaint):
    request = {
        "bundle": "nowhere",
        "engine": "litert",
        "threads": 1,
        "batch_size": 1,
        "seq_len": 8,
        "steps": 1,
        "seed": 0,
        "second_len": None,
    }

    with pytest.raises(error, match=complaint):
        worker.run_worker("a worker", module, request, threads=1, stages=1)


def run_script(tmp_path, monkeypatch, script, say=print):
    (tmp_path / "scripted.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return worker.run_module("scripted", "scripted", [], {"MINE": "7"}, say)


def test_a_process_is_measured_and_given_its_environment(tmp_path, monkeypatch):
    lines = []
    script = "import os; block = bytearray(b'1') * 200_000_000; print('mine', os.environ['MINE'])"

    ended = run_script(tmp_path, monkeypatch, script, lines.append)

    assert lines == ["mine 7"]
    assert ended.peak_rss_bytes > 200_000_000 and ended.seconds > 0


def test_a_killed_worker_is_told_with_its_signal(tmp_path, monkeypatch):
    with pytest.raises(RunError) as error:
        run_script(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    assert str(error.value) == "worker 'scripted' failed (killed by SIGKILL): it said nothing"


def test_an_interrupt_leaves_no_worker_behind(tmp_path, monkeypatch):
    started = []

    def interrupt(line):
        started.append(int(line))
        raise KeyboardInterrupt

    script = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(KeyboardInterrupt):
        run_script(tmp_path, monkeypatch, script, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
