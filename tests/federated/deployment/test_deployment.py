"""A federation on Flower, on loopback with TLS and keys: kills, refusals, what it opens."""

import ast
import re
import shutil

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: make federated")

from deployed import Deployment
from sockets import Socket

from pocketllm.federated.audit import recompute, server_journal, sha256_of_all, shared_steps
from pocketllm.federated.flower.keys import AUTHORITY, SIGNER, write_keys
from pocketllm.federated.round_lines import read_rounds
from pocketllm.federated.steps import NO_DATA
from pocketllm.runtime import cli
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.journal.writer import new_journal

pytestmark = pytest.mark.flower
VICTIMS = (
    "flower-superlink", "flwr-clientapp", "flwr-serverapp", "flower-supernode", "server",
    "client-1",
)  # fmt: skip


@pytest.fixture
def deployment(golden_bundle, tmp_path):
    """A federation of three clients, ended with the test."""
    federation = Deployment(tmp_path, golden_bundle.folder)
    yield federation
    federation.stop()


def check_equal_bits(deployment, bundle):
    """Asserts that all journals are the server's, and all parameters the same bits."""
    journal = server_journal(deployment.run)
    folders = [deployment.client_run(number) for number in range(deployment.clients)]
    last = min(shared_steps(folder, journal) for folder in folders)

    def open_one():
        model = open_model(bundle, threads=1)
        model.initialize()
        return model

    assert last > 0
    assert recompute(deployment.run, journal) == len(journal.steps), "rounds explain every step"
    assert sha256_of_all([deployment.run, *folders], last, open_one)[1] == []


def run_with_kills(deployment, kills):
    """Runs a federation, and kills one of its processes after each round; returns the number."""
    deployment.start_server("--min_clients=2")
    for number in range(deployment.clients):
        deployment.start_client(number)
    deployment.wait_for_steps(4)
    killed = turn = 0
    while killed < kills:
        name, turn = VICTIMS[turn % len(VICTIMS)], turn + 1
        before = deployment.steps
        if deployment.kill(name) is None:
            continue
        killed += 1
        if name == "server":
            deployment.start_server("--min_clients=2")
        elif name.startswith("client-"):
            deployment.start_client(1)
        deployment.wait_for_steps(before + 4)
    return killed


def test_five_kills_change_no_bit(deployment, golden_bundle):
    assert run_with_kills(deployment, 5) == 5
    deployment.stop()

    check_equal_bits(deployment, golden_bundle)
    assert deployment.left == [], "nothing outlives its command"


@pytest.mark.slow
def test_twenty_five_kills_change_no_bit(deployment, golden_bundle):
    assert run_with_kills(deployment, 25) == 25
    deployment.stop()

    check_equal_bits(deployment, golden_bundle)


def test_strangers_are_refused_and_nothing_else_is_opened(deployment, tmp_path):
    """An unregistered key, and a server whose authority the client does not know."""
    other = tmp_path / "other"
    write_keys(other, 2, [])
    unregistered = other / "client-0"
    for name in (AUTHORITY, SIGNER):  # it knows the server, which does not know it
        shutil.copy(tmp_path / "creds/client-0" / name, unregistered / name)
    foreign = other / "client-1"
    deployment.start_server()
    deployment.start_client(0)
    deployment.start_client(1, unregistered)
    deployment.start_client(2, foreign)
    sockets: set[Socket] = set()
    deployment.wait_for_steps(8, lambda: sockets.update(deployment.sockets()))
    deployment.wait_for_refusal(1, "Failed to activate SuperNode")
    deployment.wait_for_refusal(2, "CERTIFICATE_VERIFY_FAILED")

    answered = {client for line in read_rounds(deployment.run) for client in line.answers}
    assert len(answered) == 1
    assert not (deployment.client_run(1) / "journal").exists()
    assert not (deployment.client_run(2) / "journal").exists()
    check_opened(deployment)
    check_sockets(deployment, sockets)


def test_a_server_whose_every_client_refuses_names_them_and_ends(deployment, golden_bundle):
    """The clients' run directories have the journal of another federation."""
    header = {"bundle_checksum": golden_bundle.checksum, "train_sha256": NO_DATA}
    for number in range(2):
        deployment.client_run(number).mkdir()
        new_journal(deployment.client_run(number) / JOURNAL, header)
    deployment.start_server("--min_clients=2")
    for number in range(2):
        deployment.start_client(number)

    assert deployment.wait_for_end("server") == cli.BAD_INPUT

    lines = deployment.output("server").splitlines()
    for number in range(2):
        name = rf"client-{number} \(client \d+\): not used: .*holds a run of another federation"
        assert len([line for line in lines if re.match(name, line)]) == 1, lines
        assert "is refused: " in deployment.output(f"client-{number}")
    last = lines[-1]
    assert re.search(r"all clients refuse, \d+ rounds in a row; client-\d \(client \d+\): ", last)
    assert last.endswith("look at the clients, and run the same command again")
    assert server_journal(deployment.run).steps == []


def check_opened(deployment):
    """Asserts that sockets are the server's or a SuperNode's own, and who read the data."""
    own = set()
    for line in deployment.notes.read_text().splitlines():
        _, words, event = line.split("\t")
        kind, _, value = event.partition(" ")
        if kind == "open":
            assert re.search(r"federate client|flwr-clientapp|cli\.py client", words), line
            continue
        address = ast.literal_eval(value)
        if isinstance(address, tuple):
            assert address[0] in ("127.0.0.1", "::1", "localhost"), line
            own.add(address[1])
    assert deployment.port in own


def check_sockets(deployment, sockets):
    """Asserts that nobody listens or calls elsewhere, by the kernel: it knows of C code too."""
    ports = {deployment.port}
    for each in sockets:
        if each.listens:
            host, port = each.local
            assert host == "127.0.0.1" and f" --port={port} " in each.program, each
            assert re.search("flower-superlink|flower-supernode", each.program), each
            ports.add(port)
    assert 1 < len(ports) <= 1 + deployment.clients, "one of the server, one of each SuperNode"
    connected = [each for each in sockets if not each.listens]
    for each in connected:
        assert each.remote[0] == "127.0.0.1" and ports & {each.local[1], each.remote[1]}, each
    assert any("flwr-clientapp" in each.program for each in connected), "a round was watched"
