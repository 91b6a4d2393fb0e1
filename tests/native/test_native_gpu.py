"""Forward passes on a GPU, which is SwiftShader: the losses of the CPU; what lacks is said."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import swiftshader
from ai_edge_litert import __file__ as LITERT
from model_parts import with_float_products
from native_program import encode, flags_of, native, with_rows
from pure_bundles import TUNINGS, pure_bundle
from small_runs import complaint, rows

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.journal.reader import read_journal

pytestmark = pytest.mark.desktop

STEPS = 3
TOLERANCE = 1e-5  # of a loss, absolute; measured on float32: 8e-7
SETTINGS = {"steps": STEPS, "lr": 1e-3, "eps": 1e-2, "batch_size": 3, "threads": 1}
refused = partial(complaint, program="pocketllm-train")


@pytest.fixture(scope="module")
def gpu():
    """The environment of a process that has a GPU."""
    return swiftshader.needed()


@pytest.fixture(scope="module")
def micro(make_bundle, tmp_path_factory):
    """roberta-micro with pure forms, beside data and their rows: its tuning -> its folder."""

    def make(tuning):
        bundle = pure_bundle(make_bundle, tuning)
        return with_rows(tmp_path_factory.mktemp("micro"), rows(7, seed=1), bundle.folder)

    return make


def train(folder, run, *, environment=None, **changes):
    """Runs steps; flags that are None are left out."""
    values = {"bundle": folder / "bundle", "encoded": folder / "train.rows", "run": run}
    given = (values | SETTINGS | changes).items()
    flags = flags_of(**{name: value for name, value in given if value is not None})
    return native(*flags, timeout=600, **(environment or {}))


def losses(run):
    """Returns the losses of a run's steps."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines for key in ("loss_plus", "loss_minus")]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_three_steps_on_a_gpu_have_the_losses_of_the_processor(tuning, micro, gpu, tmp_path):
    """Of int8 the reference computes with the same values in float32, as the GPU does."""
    folder, ours, reference = micro(tuning), tmp_path / "gpu", tmp_path / "cpu"
    done = train(folder, ours, accelerator="gpu", environment=gpu)
    assert done.returncode == 0, done.stderr
    operators = done.stdout.split("forward passes on the GPU, ")[1].split(" operators")[0]
    accepted, count = map(int, operators.split(" of "))
    assert accepted == count > 100
    (passes,) = {len(step.passes) for step in read_journal(ours / "journal").steps}
    assert passes == (1 if TUNINGS[tuning].get("pairs") else 3)
    assert not (folder / "bundle" / "packed-weights").exists(), "the processor needs none"

    if "int8" in tuning:
        with_float_products(read_bundle(folder / "bundle"))
        encode(folder / "bundle", folder / "train.tsv", folder / "train.rows", "--force")
    done = train(folder, reference)
    assert done.returncode == 0, done.stderr
    assert len(losses(ours)) == 2 * STEPS == len(set(losses(ours)))
    assert losses(ours) == pytest.approx(losses(reference), rel=0, abs=TOLERANCE)


def test_steps_of_fzoo_on_a_gpu_have_the_losses_of_the_processor(micro, gpu, tmp_path):
    """θ goes to the GPU anew after each of the passes over it, those of two directions too."""
    folder, ours, reference = micro("lora"), tmp_path / "gpu", tmp_path / "cpu"
    fzoo = {"optimizer": "fzoo", "directions": 3, "steps": 2}
    for run, changes in (
        (ours, {"accelerator": "gpu", "environment": gpu}),
        (reference, {}),
    ):
        done = train(folder, run, **fzoo, **changes)
        assert done.returncode == 0, done.stderr

    measured, expected = (
        [loss for step in read_journal(run / "journal").steps for loss in step.losses]
        for run in (ours, reference)
    )
    assert len(measured) == 2 * 3 == len(set(measured))
    assert measured == pytest.approx(expected, rel=0, abs=TOLERANCE)


def test_a_run_on_a_gpu_is_continued_on_the_processor(micro, gpu, tmp_path):
    """Noise and update were the processor's, so that the journal gives the same parameters."""
    folder, ours, other = micro("lora"), tmp_path / "gpu", tmp_path / "cpu"
    assert train(folder, ours, accelerator="gpu", environment=gpu).returncode == 0
    shutil.copytree(ours, other)
    assert train(folder, ours, steps=STEPS + 1).returncode == 0
    done = train(folder, other, steps=STEPS + 1, accelerator="gpu", environment=gpu)
    assert done.returncode == 0, done.stderr

    assert losses(other)[:-2] == losses(ours)[:-2]
    assert losses(other) == pytest.approx(losses(ours), rel=0, abs=TOLERANCE)


def test_what_a_gpu_needs_and_is_not_there_is_said_in_one_line(micro, small, tmp_path):
    folder, run = micro("lora"), tmp_path / "run"
    refused(train(folder, run, accelerator="npu"), 2, "--accelerator=npu: expected cpu or gpu")
    refused(
        train(small, run, accelerator="gpu"), 2, "no signature forward_pure", "export with --pure"
    )
    no_device = {"VK_ICD_FILENAMES": str(tmp_path / "none.json")}
    refused(
        train(folder, run, accelerator="gpu", environment=no_device), 2, "Vulkan", "finds no device"
    )
    library = shutil.copy(Path(LITERT).with_name("libLiteRt.so"), tmp_path)
    alone = {"LD_LIBRARY_PATH": str(tmp_path)}
    name = Path(library).with_name("libLiteRtWebGpuAccelerator.so")
    refused(train(folder, run, accelerator="gpu", environment=alone), 2, f"{name}: no such file")
    name.write_bytes(b"no library")  # LiteRT passes over it, and takes the processor
    refused(
        train(folder, run, accelerator="gpu", environment=alone),
        2, "the GPU takes none of the", "operators of the forward passes",
    )  # fmt: skip
    assert not run.exists()
