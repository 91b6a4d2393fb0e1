"""A federation on Flower of this machine and a phone behind a gateway: aarch64, emulated."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: make federated")

import phone as emulated
from deployed import Deployment
from device_cases import device
from loopback import loopback
from phone_bits import sha256_there, verified
from small_runs import rows, write_tsv

from pocketllm.federated.audit import server_journal, sha256_of_all, shared_steps
from pocketllm.federated.commands.client import HOME, LOG
from pocketllm.federated.replica import Replica
from pocketllm.federated.round_lines import read_rounds
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model

pytestmark = pytest.mark.flower
LORA_INT8 = Path(__file__).parents[2] / "golden" / "lora_int8"
DATA = "/data/local/tmp/notes of the phone.tsv"


@pytest.fixture(params=["full", pytest.param("lora int8", marks=pytest.mark.slow)])
def bundle(request, golden_bundle, tmp_path) -> Bundle:
    """A committed bundle: no TensorFlow is here to export one."""
    if request.param == "full":
        return golden_bundle
    lora = read_bundle(shutil.copytree(LORA_INT8, tmp_path / "bundles" / "lora"))
    assert (lora.tune, lora.base) == ("lora", "int8")
    return lora


def test_a_phone_behind_a_gateway_ends_with_the_bits_of_all(bundle, tmp_path):
    image = emulated.make_image(tmp_path / "image")
    deployment = Deployment(tmp_path, bundle.folder, clients=2)
    (tmp_path / "part-1.tsv").unlink()
    with loopback(tmp_path / "device") as phone:
        done = device(phone, "push", f"--image={image}", f"--bundle={bundle.folder}")
        assert done.returncode == 0, done.stderr
        own = write_tsv(tmp_path / "own.tsv", rows(12, seed=9))
        assert phone.adb("push", str(own), DATA).returncode == 0
        own.unlink()
        try:
            deployment.start_server("--min_clients=2", "--quorum=1")
            deployment.start_client(0)
            deployment.start_gateway(1, DATA, phone.environment)
            deployment.wait_for_steps(12)
        finally:
            deployment.stop()
        pulled = tmp_path / "pulled"
        done = device(phone, "pull", "--run=client-1", f"--out={pulled}")
        assert done.returncode == 0, done.stderr

    answered = {tuple(sorted(line.answers)) for line in read_rounds(deployment.run)}
    assert len(answered) == 1 and len(answered.pop()) == 2, "both, every round"
    events = [line.split("\t")[2] for line in deployment.notes.read_text().splitlines()]
    opened = {event.rpartition("/")[2] for event in events if event.startswith("open ")}
    assert opened == {"part-0.tsv"}, "nobody here opened the phone's data"
    assert "parameters are not" not in (deployment.run / "flower/server.log").read_text()
    assert (deployment.client_run(1) / HOME / LOG).exists()
    assert not (deployment.client_run(1) / "journal").exists(), "the phone has it"
    check_equal_bits(deployment, bundle, image, pulled)


def check_equal_bits(deployment, bundle, image, pulled):
    """Asserts equal journals, and equal parameters by either processor."""
    folders = [deployment.client_run(0), pulled]
    last = min(shared_steps(folder, server_journal(deployment.run)) for folder in folders)
    assert last > 0

    def open_here():
        model = open_model(bundle, threads=1)
        model.initialize()
        return model

    digest, others = sha256_of_all([deployment.run, *folders], last, open_here)
    assert others == [] and digest != Replica(open_here()).sha256(), "they moved"
    assert sha256_there(image, bundle.folder, pulled, last) == digest
    assert f"sha256 {digest} on all 3" in verified(deployment.run, folders, bundle.folder)
