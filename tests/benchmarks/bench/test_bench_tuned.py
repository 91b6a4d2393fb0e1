"""The bench of tuned bundles: our packed weights, PyTorch's two sides, the limit on memory."""

import json
import mmap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from desktop_child import in_child
from memory_cgroup import CGROUP
from small_runs import complaint, pocketllm

from pocketllm.benchmarks.bench import comparison
from pocketllm.benchmarks.bench.baselines import baselines_of
from pocketllm.benchmarks.bench.conditions import drop_file_pages, forget_packed
from pocketllm.benchmarks.bench.flags import limit_bytes_of
from pocketllm.benchmarks.bench.summary import FIGURES
from pocketllm.benchmarks.bench.table import conditions_table
from pocketllm.benchmarks.bench.workload import Workload, random_rows
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError, RunError

WORK = Workload("bundle", "litert", 1, 4, seq_len=8, steps=2, seed=3, second_len=16)
FLAGS = ["--batch_sizes=3", "--seq_len=12", "--steps=2", "--threads=1"]
SECONDS = 600  # for a command, on a busy machine


def tuned_copy(tmp_path, checkpoint, **tuning):
    """Exports a bundle of its own: the bench makes its packed weights anew."""
    return read_bundle(in_child("tiny.export", checkpoint, tmp_path / "tuned", **tuning))


@pytest.mark.parametrize(
    ("text", "limit_bytes"),
    [(None, None), ("320M", 320_000_000), ("1g", 10**9), ("512MB", 512_000_000), ("7000", 7000)],
)
def test_limits_are_read_with_decimal_suffixes(text, limit_bytes):
    assert limit_bytes_of(text) == limit_bytes


@pytest.mark.parametrize("text", ["", "0", "-1M", "1.5G", "320MiB", "M", "٣M"])
def test_limits_that_are_none_are_refused(text):
    with pytest.raises(InputError, match=r"^--memory_limit=.*: expected bytes, or like 320M"):
        limit_bytes_of(text)


@pytest.mark.desktop
@pytest.mark.parametrize("base", ["fp32", "int8"])
def test_a_lora_bundle_is_measured_three_times_and_against_both_sides_of_pytorch(
    base, make_checkpoint, make_bundle, tmp_path
):
    checkpoint, out = make_checkpoint(), tmp_path / "bench.json"
    bundle = tuned_copy(tmp_path, checkpoint, kind="lora", base=base)
    full = make_bundle(checkpoint)
    flags = [f"--bundle={bundle.folder}", f"--full_bundle={full.folder}", "--against=pytorch"]

    done = pocketllm("bench", *flags, *FLAGS, f"--json={out}", timeout=SECONDS)

    assert done.returncode == 0, done.stderr
    assert "PyTorch, LoRA: PyTorch on the same LoRA parameters, base frozen" in done.stdout
    assert "no file: packed weights in memory" in done.stdout
    result = json.loads(out.read_text())
    assert (result["tune"], result["base"]) == ("lora", base)
    assert result["eps"] == {"fp32": 1e-3, "int8": 3e-2}[base]
    (batch,) = result["batches"]
    ours, packing, unpacked = batch["ours"], batch["packing"], batch["unpacked"]
    assert "packed weights in a mapped file" in ours["runs"] and batch["limited"] is None
    assert "packed weights in memory" in unpacked["runs"]
    assert ours["first_loss"] == packing["first_loss"] == unpacked["first_loss"]
    assert (bundle.folder / contract.PACKED_STAMP).exists()

    theirs, lora = batch["pytorch"], batch["pytorch_lora"]
    assert batch["pytorch_row"] is None
    assert lora["parameters"] == ours["parameters"] == result["parameters"] < theirs["parameters"]
    assert set(batch["ratio_lora"]) == set(FIGURES)
    assert theirs["first_loss"] == pytest.approx(lora["first_loss"], rel=1e-6)
    for suffix in ("", "_lora"):
        difference = batch[f"first_loss_difference{suffix}"]
        assert difference < 1e-5 if base == "fp32" else 1e-5 < difference < 0.1
        assert [len(step["noise_seconds"]) for step in batch[f"pytorch{suffix}"]["steps"]] == [4, 4]


@pytest.mark.desktop
@pytest.mark.parametrize("architecture", ["roberta", "opt", "llama"])
def test_pytorchs_lora_side_computes_what_peft_does(
    architecture, checkpoint_in_pytorch, make_bundle
):
    import torch
    from peft_reference import peft_model

    from pocketllm.benchmarks.bench.pytorch.lora import add_lora
    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss
    from pocketllm.export.tune.lora import Lora

    checkpoint = checkpoint_in_pytorch(architecture)
    settings = Lora(rank=3, alpha=4.0, extras="lm_head")
    bundle = make_bundle(checkpoint, kind="lora", lora=settings)
    ours = load_model(make_bundle(checkpoint))
    trained = add_lora(ours, bundle)

    rng, values = np.random.default_rng(7), {}
    assert [tuple(tensor.shape) for tensor in trained] == [p.shape for p in bundle.parameters]
    for parameter, tensor in zip(bundle.parameters, trained):
        drawn = rng.standard_normal(parameter.shape).astype(np.float32) * np.float32(0.3)
        tensor.data.copy_(torch.from_numpy(drawn))
        values[parameter.name] = drawn
    theirs = peft_model(checkpoint, bundle, values)
    batch = one_batch(random_rows(WORK, bundle, step=0, tokens=8), tokens=8, pad_id=1)
    inputs = [torch.from_numpy(batch.inputs[n]).long() for n in ("input_ids", "attention_mask")]
    with torch.no_grad():
        expected = theirs(inputs[0], attention_mask=inputs[1]).logits
        actual = ours(inputs[0], attention_mask=inputs[1]).logits
        plain = load_model(make_bundle(checkpoint))(inputs[0], attention_mask=inputs[1]).logits
        loss = word_loss(ours, batch, bundle.word_ids, full_head=False)
    size = expected.abs().max()
    assert (actual - expected).abs().max() < 1e-5 * size < 1e-2 * (plain - expected).abs().max()
    assert torch.isfinite(loss)


def test_opt_is_compared_with_lora_on_the_scored_row(golden_bundle):
    opt = replace(golden_bundle, architecture="opt", style=contract.CAUSAL, tune=contract.LORA)

    assert baselines_of(golden_bundle) == {"": {"full_head": False}}
    assert baselines_of(opt) == {
        "": {"full_head": True},
        "_row": {"full_head": False},
        "_lora": {"full_head": False, "lora": True},
    }


def test_losses_on_the_same_base_must_agree_and_quantised_ones_are_shown():
    batch = {"batch_size": 8, "ours": {"first_loss": 0.7}, "pytorch_lora": {"first_loss": 0.8}}
    batch |= {"first_loss_difference_lora": 0.125}

    for base in ("int8", "int4"):
        comparison.check_losses(batch, base)
    with pytest.raises(RunError, match="0.700000 here and 0.800000 in PyTorch on the same LoRA"):
        comparison.check_losses(batch, "fp32")


def limited_bench(bundle, tmp_path, limit):
    out = tmp_path / "bench.json"
    flags = [f"--bundle={bundle.folder}", *FLAGS, f"--memory_limit={limit}", f"--json={out}"]
    done = pocketllm("bench", *flags, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    (batch,) = json.loads(out.read_text())["batches"]
    return done.stdout, batch


@pytest.mark.parametrize(("limit", "limit_bytes"), [("2G", 2 * 10**9), ("20M", 20 * 10**6)])
def test_ours_is_measured_in_a_limit_and_running_out_of_it_is_told(
    limit, limit_bytes, golden_bundle, tmp_path
):
    output, batch = limited_bench(golden_bundle, tmp_path, limit)
    limited = batch["limited"]

    assert (limited["limit_bytes"], limited["limit_kind"]) == (limit_bytes, CGROUP or "RLIMIT_DATA")
    assert batch["packing"] is None and batch["unpacked"] is None  # nothing is frozen
    assert limited["out_of_memory"] == (limit == "20M")
    if limit == "20M":
        assert "in 20 MB: ended out of memory" in output and "summary" not in limited
    else:
        assert "in 2000 MB: ran to the end" in output and set(limited["summary"]) == set(FIGURES)
        assert limited["first_loss"] == batch["ours"]["first_loss"]
        assert limited["limit_peak_bytes"] is None or limited["limit_peak_bytes"] > 10**7


@pytest.mark.desktop
def test_the_limited_process_finds_the_packed_weights(make_checkpoint, tmp_path):
    bundle = tuned_copy(tmp_path, make_checkpoint(), kind="prefix", base="int8")
    _, batch = limited_bench(bundle, tmp_path, "1G")

    assert "packed weights in a mapped file" in batch["limited"]["runs"]
    assert batch["limited"]["first_loss"] == batch["ours"]["first_loss"]


def test_what_stands_in_for_a_cgroup_is_said():
    summary = dict.fromkeys(FIGURES, 2.0)
    limited = {"limit_bytes": 320_000_000, "limit_kind": "RLIMIT_DATA", "limit_peak_bytes": None}
    limited |= {"caches_dropped": False, "out_of_memory": False}
    limited |= {"summary": summary | {"step_seconds": 5.0}}
    batch = {"batch_size": 8, "ours": {"summary": summary}, "packing": None, "unpacked": None}

    lines = conditions_table(batch | {"limited": limited}).splitlines()

    assert lines[0].split()[-4:] == ["above", "in", "320", "MB"]
    assert lines[2].split()[-2:] == ["1.00", "2.50"]
    assert "RLIMIT_DATA of 320,000,000 bytes: no memory cgroup can be made here" in lines[-1]
    assert "no pages of files" in lines[-1]
    assert conditions_table(batch | {"limited": None}) == ""


def test_pages_of_a_folders_files_are_let_go(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(bytes(1 << 20))
    if not resident(path):
        pytest.skip("files of this folder have no pages of their own")
    drop_file_pages(tmp_path)
    if filesystem(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("this folder lies in memory: its pages cannot be dropped")

    assert resident(path) == 0


def test_a_forgotten_file_of_packed_weights_is_gone(golden_bundle, tmp_path):
    bundle = replace(golden_bundle, folder=tmp_path)
    for name in (contract.PACKED_FILE, contract.PACKED_STAMP, contract.MODEL_FILE):
        (tmp_path / name).write_text("x")
    forget_packed(bundle)
    forget_packed(bundle)

    assert [path.name for path in tmp_path.iterdir()] == [contract.MODEL_FILE]


@pytest.mark.desktop
def test_sides_that_are_not_there_are_refused_in_one_line(make_checkpoint, make_bundle):
    prefix, lora = (make_bundle(make_checkpoint(), kind=kind) for kind in ("prefix", "lora"))
    other = make_bundle(make_checkpoint(tied=False, num_hidden_layers=1))
    against = ["--against=pytorch", *FLAGS]

    done = pocketllm("bench", f"--bundle={prefix.folder}", *against)
    complaint(done, 2, "trains all parameters or LoRA's", "--tune=prefix; leave --against out")
    done = pocketllm("bench", f"--bundle={lora.folder}", *against)
    complaint(done, 2, "its base is frozen", "as --full_bundle")
    for full in (other, lora):
        done = pocketllm(
            "bench", f"--bundle={lora.folder}", f"--full_bundle={full.folder}", *against
        )
        complaint(done, 2, f"{full.folder}: ", "same checkpoint", "exported with --tune=full")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--model=roberta-micro", "--base=int8"], "--base=int8 goes with --tune=lora, prefix"),
        (["--model=roberta-micro", "--memory_limit=lots"], "--memory_limit=lots: expected bytes"),
        (["--bundle=nowhere", "--tune=lora"], "--tune goes with an export of --model"),
        (["--bundle=nowhere", "--base=int8"], "--base goes with an export of --model"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, problem):
    complaint(pocketllm("bench", *flags), 2, problem)


def resident(path: Path) -> int:
    """Returns the number of a file's pages that are in memory."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        flags = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE))()
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), flags) == 0
    return sum(flag & 1 for flag in flags)


def filesystem(folder: Path) -> str:
    """Returns the type of the file system that a folder lies on."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mounts = [(len(where), kind) for _, where, kind, *_ in lines if folder.is_relative_to(where)]
    return max(mounts)[1]
