"""The device image's aarch64 programs, run by QEMU, against this machine's."""

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path

import phone
import pytest
from small_runs import complaint, pocketllm, python

pytestmark = pytest.mark.desktop  # the workstation's side

IMPORTS = """
import importlib, pathlib, sys, sysconfig
import numpy, tokenizers, tqdm, absl, ai_edge_litert.interpreter, ai_edge_litert.compiled_model
import hashlib, platform
extensions = pathlib.Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
names = [path.name.partition(".")[0] for path in extensions]
for name in names:
    importlib.import_module(name)
assert len(names) > 20
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert hashlib.sha256 is not importlib.import_module("_sha256").sha256, "without OpenSSL"
from importlib import metadata
print(platform.machine(), platform.python_version(), metadata.version("pocketllm"))
"""

# Prints the sha256 of z(seed), what `perturb_and_update` makes of zeros, and of a decaying pass.
NOISE = """
import hashlib
import numpy as np
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
model = open_model(read_bundle({bundle!r}), threads=1)
model.initialize()
zeros = {{name: np.zeros_like(values) for name, values in model.read()}}
for seed in (0, 1, 2**31 - 1, -5):
    model.write(zeros)
    model.perturb(seed, 1.0)
    digest = hashlib.sha256()
    for name, values in model.read():
        assert values.std() > 0.1, name
        digest.update(values.tobytes())
    model.perturb(seed, 0.5, 3e-8, 1e-3)
    for _, values in model.read():
        digest.update(values.tobytes())
    print(seed, digest.hexdigest())
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The device image, where QEMU can run it."""
    phone.need_tools("qemu-aarch64-static")
    return phone.make_image(tmp_path_factory.mktemp("device") / "image")


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    """The bundled roberta-micro, exported."""
    folder = tmp_path_factory.mktemp("micro") / "a bundle's folder"
    done = pocketllm("export", "--model=roberta-micro", "--task=sst2", f"--out={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("isolated", [["-I"], []], ids=["isolated", "plain"])
def test_its_python_finds_its_packages_without_the_launcher(image, isolated):
    code = "import numpy, tokenizers, pocketllm.runtime.cli as c; print(numpy.__file__, c.__file__)"
    loader = [image / "lib" / "ld-linux-aarch64.so.1", "--library-path", image / "lib"]
    program = [image / "python" / "bin" / "python3.11", "-B", *isolated, "-c", code]
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}

    done = subprocess.run(
        [*phone.EMULATOR.split(), *loader, *program],
        capture_output=True, text=True, env=inherited,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert [Path(path).is_relative_to(image / "site") for path in done.stdout.split()] == [True] * 2


def test_everything_that_the_runtime_needs_can_be_imported(image):
    done = phone.run_image(image, code=IMPORTS)

    assert done.returncode == 0, done.stderr
    machine, version, ours = done.stdout.split()
    assert (machine, version[:5]) == ("aarch64", "3.11.")
    assert ours == metadata.version("pocketllm")


def test_inspect_prints_what_it_prints_here(image, golden_bundle):
    there = phone.run_image(image, "inspect", f"--bundle={golden_bundle.folder}")
    here = pocketllm("inspect", f"--bundle={golden_bundle.folder}")

    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout == here.stdout != ""


def test_the_version_is_the_package_of_here_with_the_images_engine(image):
    there, here = phone.run_image(image, "--version"), pocketllm("--version")

    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout.splitlines()[:2] == here.stdout.splitlines()[:2]
    assert "litert (ai-edge-litert " in there.stdout
    assert "tflite-runtime not installed" in there.stdout


def test_exit_codes_and_complaints_are_those_of_here(image, tmp_path):
    there = phone.run_image(image, "inspect", f"--bundle={tmp_path / 'none of it'}")
    here = pocketllm("inspect", f"--bundle={tmp_path / 'none of it'}")

    complaint(there, 2, "none of it")
    assert there.stderr == here.stderr


def test_running_leaves_the_images_folders_as_they_were(image, golden_bundle):
    before = set(image.rglob("*"))

    assert phone.run_image(image, "--help").returncode == 0

    new = {path.relative_to(image).parts[0] for path in image.rglob("*") if path not in before}
    assert new <= {"cache"}


def test_noise_is_that_of_here_to_the_bit(image, micro):
    code = NOISE.format(bundle=str(micro))
    there, here = phone.run_image(image, code=code), python(code)

    assert there.returncode == here.returncode == 0, there.stderr + here.stderr
    digests = {line.split()[1] for line in there.stdout.splitlines()}
    assert len(digests) == 4, "seeds differ"
    assert there.stdout == here.stdout


def test_text_is_that_of_here(image, make_decoder, make_bundle, tmp_path):
    """The most likely tokens, and drawn ones."""
    bundle = make_bundle(make_decoder(case="llama"), task="sft", lengths=(8,), context=64)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a great film\nIt was\n")
    texts = []
    for drawing in ([], ["--temperature=0.7", "--top_p=0.9", "--seed=5"]):
        arguments = [f"--bundle={bundle.folder}", f"--data={prompts}", "--threads=1", *drawing]
        out = tmp_path / "there.json"
        there = phone.run_image(image, "generate", *arguments, f"--json={out}")
        assert there.returncode == 0, there.stderr
        texts.append([entry["token_ids"] for entry in json.loads(out.read_text())])
        here = pocketllm("generate", *arguments, f"--json={tmp_path / 'here.json'}")
        assert here.returncode == 0, here.stderr
        ours = json.loads((tmp_path / "here.json").read_text())
        assert [entry["token_ids"] for entry in ours] == texts[-1]
    assert texts[0] != texts[1]
