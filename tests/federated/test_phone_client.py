"""A federation of this processor and an emulated phone's, whose rounds are carried over adb."""

from dataclasses import replace
from functools import partial

import phone as emulated
import pytest
from device_cases import device
from federations import ALL, client_of
from loopback import loopback
from phone_bits import sha256_there, verified
from small_runs import rows, write_tsv, zeroth_order_config

from pocketllm.android_harness.phone import job
from pocketllm.android_harness.phone.paths import IMAGE, answering_job, bundle_folder, run_folder
from pocketllm.federated.answering import answer
from pocketllm.federated.commands import client as command
from pocketllm.federated.commands import gateway
from pocketllm.federated.protocol import BEHIND, Question, pack_question, read_answer
from pocketllm.federated.replica import Replica
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.steps import NO_DATA
from pocketllm.federated.terms import Watcher
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.run.restore import bring_to, point_of

pytestmark = pytest.mark.desktop  # the workstation's side
STEPS, DATA = 4, "/data/local/tmp/its own data.tsv"


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


@pytest.mark.parametrize(
    ("kind", "optimizer"), [("full", "mezo"), ("full", "fzoo"), ("lora int8", "mezo")]
)
def test_a_phone_and_both_engines_here_end_with_the_same_bits(
    kind, optimizer, bundles, phone, image, open_ready, tmp_path
):
    bundle = bundles(kind)
    data = load_dataset(write_tsv(tmp_path / "here.tsv", rows(12, seed=8)), bundle, training=True)
    engines = ["litert"] if kind != "full" else ["litert", "tflite"]
    clients = {
        number: partial(answer, client_of(tmp_path / engine, open_ready(bundle, engine), data))
        for number, engine in enumerate(engines, 1)
    }
    run = f"phone {kind} {optimizer}"
    carrier = gateway.open_gateway(flags(bundle, run=tmp_path / run), bundle)
    changes = {"steps": STEPS, "batch_size": 3, "lr": 1e-2, "eps": 1e-2}
    config = zeroth_order_config(optimizer, bundle, data, **changes)
    warnings = []

    served = serve(
        tmp_path / "server",
        replace(config, train_sha256=NO_DATA),
        replace(ALL, round_steps=2, seconds=300.0),
        InProcess(clients | {9: partial(gateway.carried, carrier)}),
        watcher=Watcher(say=warnings.append),
    )

    assert (served.last_step, served.rounds, warnings) == (STEPS, STEPS // 2, [])
    done = device(phone, "pull", f"--run={run}", f"--out={tmp_path / run}")
    assert done.returncode == 0, done.stderr
    # The last round's records would come with the next question.
    steps = STEPS - 2
    digests = {sha256_there(image, bundle.folder, tmp_path / run, steps)}
    for folder, engine in [("server", "litert"), *((engine, engine) for engine in engines)]:
        model = open_ready(bundle, engine)
        bring_to(model, point_of(tmp_path / folder, bundle, steps))
        digests.add(Replica(model).sha256())
    assert len(digests) == 1
    clients = [tmp_path / name for name in (run, *engines)]
    printed = verified(tmp_path / "server", clients, bundle.folder)
    assert f"sha256 {digests.pop()} on all" in printed


@pytest.fixture
def full(bundles):
    return bundles("full")


def question():
    """A question of a federation whose header the client lacks: it says that it is behind."""
    return pack_question(Question(1, first=1, steps=1, start=0, header_checksum=0))


def test_a_job_that_a_killed_carrier_left_gives_way(full, phone, tmp_path):
    carrier = gateway.open_gateway(flags(full, run=tmp_path / "left"), full)
    there = bundle_folder(full.folder.name)
    endless = ["train", f"--bundle={there}", f"--train={DATA}", f"--run={run_folder('endless')}"]
    job.start(carrier.phone, answering_job("left"), [*endless, "--steps=100000", "--lr=1e-4"])

    assert read_answer(gateway.carried(carrier, question())).kind == BEHIND


def test_data_that_cannot_be_used_is_named_and_not_quoted(full, phone, tmp_path):
    bad = "/data/local/tmp/bad.tsv"
    phone.sh(f"printf 'sentence\\tlabel\\nmy secret\\tperhaps\\n' >{bad}")

    with pytest.raises(InputError) as refused:
        gateway.open_gateway(flags(full, run=tmp_path / "bad", device_data=bad), full)

    message, place = str(refused.value), f"{run_folder('bad')}/refused.txt"
    assert bad in message and place in message
    assert "secret" not in message and "perhaps" not in message
    assert "perhaps" in phone.sh(f"cat {place}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "x.tsv"}, "--train=x.tsv: data of this machine"),
        ({"private": 6}, "--private: the phone has no accountant"),
        ({"device_data": ""}, "--device_data is missing"),
        ({"device_data": "/sdcard/none"}, "--device_data=/sdcard/none: no such file on the phone"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(changes, message, full, tmp_path):
    with pytest.raises(InputError, match=message):
        gateway.open_gateway(flags(full, run=tmp_path / "run", **changes), full)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (f"{IMAGE}/.manifest", "no image, or not all of it, is on the phone"),
        (gateway.PROGRAM, "an image that cannot answer a federation"),
        (f"{bundle_folder('tiny')}/.manifest", "no bundle, or not all of it, is on the phone"),
    ],
)
def test_what_the_phone_lacks_is_said(missing, message, full, phone, tmp_path):
    phone.sh(f"mv {missing} {missing}.away")
    try:
        with pytest.raises(InputError, match=message):
            gateway.open_gateway(flags(full, run=tmp_path / "run"), full)
    finally:
        phone.sh(f"mv {missing}.away {missing}")


def test_another_bundle_of_that_name_on_the_phone_is_refused(bundles, golden_bundle, tmp_path):
    other = bundles("lora int8")
    assert other.folder.name == golden_bundle.folder.name

    with pytest.raises(InputError, match="another bundle than .*device push --bundle="):
        gateway.open_gateway(flags(golden_bundle, run=tmp_path / "run"), golden_bundle)


def test_without_a_phone_the_command_says_so(full, phone, tmp_path):
    phone.unplug()
    phone.adb("disconnect", phone.serial)
    try:
        with pytest.raises(RunError, match="no device"):
            gateway.open_gateway(flags(full, run=tmp_path / "run"), full)
    finally:
        phone.plug_in()
