"""A federation of this processor and an emulated phone's, whose rounds are carried over adb."""

from dataclasses import replace
from functools import partial

import phone as emulated
import pytest
from device_cases import device
from federations import ALL, client_of
from loopback import loopback
from small_runs import pocketllm, rows, run_config, write_tsv

from pocketllm.android_harness.phone.paths import HOME, answering_job
from pocketllm.federated.answering import answer
from pocketllm.federated.commands import client as command
from pocketllm.federated.commands import gateway
from pocketllm.federated.in_process import InProcess
from pocketllm.federated.replica import Replica
from pocketllm.federated.rounds import serve
from pocketllm.federated.steps import NO_DATA
from pocketllm.federated.terms import Watcher
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.run.restore import bring_to, point_of

pytestmark = pytest.mark.desktop  # the workstation's side
STEPS, DATA = 4, "/data/local/tmp/its own data.tsv"

# Prints the sha256 of a run's replayed parameters.
SHA256 = """
from pathlib import Path
from pocketllm.federated.replica import Replica
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.run.restore import bring_to, point_of
model = open_model(read_bundle({bundle!r}), threads=1)
model.initialize()
bring_to(model, point_of(Path({run!r}), model.bundle, {steps}))
print(Replica(model).sha256())
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return emulated.make_image(tmp_path_factory.mktemp("image") / "image")


@pytest.fixture(scope="module")
def phone(tmp_path_factory, image):
    """A device with the image, and data that is nowhere else."""
    folder = tmp_path_factory.mktemp("phone")
    with loopback(folder / "device") as phone, pytest.MonkeyPatch.context() as patch:
        for name, value in phone.environment.items():
            patch.setenv(name, value)
        done = device(phone, "push", f"--image={image}")
        assert done.returncode == 0, done.stderr
        own = write_tsv(folder / "own.tsv", rows(12, seed=9))
        assert phone.adb("push", str(own), DATA).returncode == 0
        own.unlink()
        yield phone


def pushed(phone, bundle):
    """Pushes a bundle; returns it."""
    done = device(phone, "push", f"--bundle={bundle.folder}")
    assert done.returncode == 0, done.stderr
    return bundle


@pytest.fixture(scope="module")
def bundles(phone, golden_bundle, make_checkpoint, make_bundle):
    """Returns a bundle that is on the phone: full, or LoRA on int8."""

    def of(kind):
        if kind == "full":
            return pushed(phone, golden_bundle)
        return pushed(phone, make_bundle(make_checkpoint(), kind="lora", base="int8"))

    return of


def flags(bundle, **given):
    """Returns the parsed flags of `federate client --via=device`."""
    values = command.FLAGS
    values.unparse_flags()
    given = {"via": "device", "device_data": DATA, "threads": 1} | given
    values(["client", f"--bundle={bundle.folder}", *(f"--{n}={v}" for n, v in given.items())])
    return values


@pytest.mark.parametrize("kind", ["full", "lora int8"])
def test_a_phone_and_both_engines_here_end_with_the_same_bits(
    kind, bundles, phone, image, open_ready, tmp_path, make_federation_config=run_config
):
    bundle = bundles(kind)
    data = load_dataset(write_tsv(tmp_path / "here.tsv", rows(12, seed=8)), bundle, training=True)
    engines = ["litert"] if kind != "full" else ["litert", "tflite"]
    clients = {
        number: partial(answer, client_of(tmp_path / engine, open_ready(bundle, engine), data))
        for number, engine in enumerate(engines, 1)
    }
    run = f"phone {kind}"
    carrier = gateway.open_gateway(flags(bundle, run=tmp_path / run), bundle)
    config = run_config(bundle, data, steps=STEPS, batch_size=3, lr=1e-2, eps=1e-2)
    said = []

    served = serve(
        tmp_path / "server",
        replace(config, train_sha256=NO_DATA),
        replace(ALL, round_steps=2, seconds=300.0),
        InProcess(clients | {9: partial(gateway.carried, carrier)}),
        watcher=Watcher(say=said.append),
    )

    assert (served.last_step, served.rounds, said) == (STEPS, STEPS // 2, [])
    done = device(phone, "pull", f"--run={run}", f"--out={tmp_path / run}")
    assert done.returncode == 0, done.stderr
    # The last round's records would come with the next question.
    steps = STEPS - 2
    there = emulated.run_image(
        image, code=SHA256.format(bundle=str(bundle.folder), run=str(tmp_path / run), steps=steps)
    )
    assert there.returncode == 0, there.stderr
    digests = {there.stdout.strip()}
    for folder, engine in [("server", "litert"), *((engine, engine) for engine in engines)]:
        model = open_ready(bundle, engine)
        bring_to(model, point_of(tmp_path / folder, bundle, steps))
        digests.add(Replica(model).sha256())
    assert len(digests) == 1
    names = ",".join(str(tmp_path / name) for name in (run, *engines))
    done = pocketllm(
        "federate", "verify", f"--run={tmp_path / 'server'}", f"--runs={names}",
        f"--bundle={bundle.folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"sha256 {digests.pop()} on all" in done.stdout
