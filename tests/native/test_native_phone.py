"""The image without Python: small, and on ARM the same journal as the one with Python writes."""

import json
import os
import shutil
import sys
from functools import partial

import phone as emulated
import pytest
import zig_compiler
from device_cases import device
from loopback import loopback
from native_program import ROOT, files_of, flags_of
from small_runs import complaint, pocketllm

from pocketllm.android_harness.image.build import LAUNCHER
from pocketllm.android_harness.image.fetch import default_cache
from pocketllm.android_harness.image.native import (
    COMPILER,
    PROGRAM,
    build_native,
    compiler,
    is_part,
)
from pocketllm.android_harness.phone.paths import HOME
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.run.replay import replay

pytestmark = pytest.mark.desktop  # the workstation's side
STEPS = 50


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image, compiled here, where QEMU can run it."""
    emulated.need_tools("qemu-aarch64-static")
    try:
        compiler()
    except InputError as error:
        pytest.skip(str(error))
    parts = list(filter(is_part, emulated.packages()))
    return build_native(parts, default_cache(), tmp_path_factory.mktemp("native") / "image").folder


@pytest.fixture(scope="module")
def python_image(tmp_path_factory):
    """The image with Python."""
    return emulated.make_image(tmp_path_factory.mktemp("python") / "image")


def test_it_is_a_tenth_of_the_other_and_holds_no_python(image):
    files = [path for path in image.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.name for path in image.iterdir()} == {"bin", "lib", LAUNCHER, "image.lock.json"}
    assert os.access(image / PROGRAM, os.X_OK) and not [p for p in files if p.suffix == ".py"]
    lock = json.loads((image / "image.lock.json").read_text())
    names = {package["name"] for package in lock["packages"]}
    assert names == {"ai-edge-litert", "libc6", "libgcc-s1", "libstdc++6"}


def test_other_commands_say_what_the_image_holds(image):
    done = emulated.run_image(image, "eval", "--bundle=b")

    complaint(done, 2, "pocketllm eval: error: this image holds pocketllm-train alone")


def test_it_reproduces_the_vectors_on_arm(image):
    check_vectors(image)


def test_ziglang_makes_an_image_that_is_as_small_and_reproduces_the_vectors(tmp_path, monkeypatch):
    emulated.need_tools("qemu-aarch64-static")
    wheel = zig_compiler.WHEEL.needed()
    monkeypatch.syspath_prepend(wheel)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(wheel), *sys.path]))
    monkeypatch.setattr("shutil.which", partial(without, COMPILER, shutil.which))
    parts = list(filter(is_part, emulated.packages()))
    assert "ziglang" in compiler()

    zig_image = build_native(parts, default_cache(), tmp_path / "image").folder

    assert sum(path.stat().st_size for path in zig_image.rglob("*")) <= 12_000_000
    check_vectors(zig_image)


def without(name, which, program, **options):
    """Finds programs but the named one."""
    return None if program == name else which(program, **options)


def check_vectors(image):
    """Asserts that an image's program reproduces the vectors of tests/conformance."""
    vectors = ROOT / "tests" / "conformance"
    done = emulated.run_image(image, "train", f"--conformance={vectors}")

    assert done.returncode == 0, done.stderr
    assert f"{vectors}/run.json: losses are close, journal and parameters are equal" in done.stdout


@pytest.mark.parametrize("name", ["full", "lora-int8"])
def test_fifty_steps_on_arm_are_the_bytes_of_the_python_runtime(
    name, preset, image, python_image, tmp_path
):
    folder = preset(name)
    common = flags_of(bundle=folder / "bundle", steps=STEPS, lr=1e-3, batch_size=2, threads=1)
    data = [f"--train={folder}/train.tsv", f"--run={tmp_path}/python"]
    rows = [f"--encoded={folder}/train.rows", f"--run={tmp_path}/native"]

    for folder_of_image, arguments in ((python_image, data), (image, rows)):
        done = emulated.run_image(folder_of_image, "train", *common, *arguments)
        assert done.returncode == 0, done.stderr

    assert files_of(tmp_path / "native") == files_of(tmp_path / "python")
    machine = json.loads((tmp_path / "native" / "machine.json").read_text())
    assert machine["sessions"][0]["system"].endswith("aarch64")


@pytest.fixture(scope="module")
def phone(tmp_path_factory, image, small):
    """A device with the image and the committed bundle."""
    with loopback(tmp_path_factory.mktemp("device") / "device", data_size="64m") as phone:
        done = device(phone, "push", f"--image={image}", f"--bundle={small / 'bundle'}")
        assert done.returncode == 0, done.stderr
        yield phone


def test_a_phone_trains_with_it(phone, small, tmp_path):
    flags = flags_of(bundle=small / "bundle", run="first", steps=20, lr=1e-2, threads=1)

    done = device(phone, "train", *flags, f"--train={small}/train.tsv", "--runtime=native")

    assert done.returncode == 0, done.stderr
    assert "first: 20 steps" in done.stdout and "train.tsv: 23 examples" in done.stdout
    assert phone.sh(f"ls {HOME}/data/*").split() == ["train.tsv.train.rows"]
    pulled = tmp_path / "pulled"
    assert device(phone, "pull", "--run=first", f"--out={pulled}").returncode == 0
    model = open_model(read_bundle(small / "bundle"), threads=1)
    model.initialize()
    steps = read_journal(pulled / "journal").steps
    replay(model, steps)
    done = pocketllm(
        "eval", f"--bundle={small}/bundle", f"--data={small}/dev.tsv", f"--run={pulled}"
    )
    assert len(steps) == 20 and done.returncode == 0, done.stderr


def test_what_the_small_image_cannot_do_is_said(phone, small):
    flags = flags_of(bundle=small / "bundle", train=small / "train.tsv", run="other", steps=3)

    python = device(phone, "train", *flags, "--lr=1e-3")
    assert python.returncode == 2 and "alone; give --runtime=native" in python.stderr
    clipped = device(phone, "train", *flags, "--lr=1e-3", "--runtime=native", "--clip_norm=1")
    complaint(clipped, 2, "--clip_norm: pocketllm-train has no such flag")
    prompts = [*flags, "--lr=1e-3", "--device_samples=/sdcard/prompts.jsonl"]
    samples = device(phone, "train", *prompts, "--runtime=native")
    complaint(samples, 2, "--device_samples: pocketllm-train has no such flag")
    adam = device(phone, "train", *flags, "--lr=1e-3", "--runtime=native", "--optimizer=adam")
    assert adam.returncode == 2 and "--optimizer=adam: expected mezo or fzoo" in adam.stderr
    nowhere = flags_of(bundle="bundle", train=small / "train.tsv", run="other", steps=3, lr=1)
    complaint(device(phone, "train", *nowhere, "--runtime=native"), 2, "--bundle=bundle: no such")
