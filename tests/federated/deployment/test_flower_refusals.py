"""Commands of a deployment refuse bad input in one line, before a process of Flower's starts."""

import os
import shutil
import socket
import sys
from contextlib import contextmanager, nullcontext
from importlib import metadata
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: make federated")

from small_runs import rows, write_tsv

from pocketllm.federated.apps.server import serve_run
from pocketllm.federated.commands import client
from pocketllm.federated.commands import server as server_command
from pocketllm.federated.flower import keys, processes
from pocketllm.federated.flower.carrier import DATA, RECORD, FlowerGrid
from pocketllm.federated.protocol import Question, pack_question, read_question
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.runtime import cli
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.journal.writer import new_journal

pytestmark = pytest.mark.flower


@pytest.fixture(scope="module")
def creds(tmp_path_factory):
    """Keys of a server and two clients."""
    folder = tmp_path_factory.mktemp("keys") / "creds"
    assert cli.main(["federate", "keys", f"--out={folder}", "--clients=2"]) == cli.DONE
    return folder


@pytest.fixture
def server(creds, golden_bundle, tmp_path, monkeypatch):
    """Calls the server's command; no process may start."""
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *a, **k: pytest.fail("it started"))

    def call(*flags):
        return cli.main(
            ["federate", "server", f"--bundle={golden_bundle.folder}", f"--run={tmp_path / 'fed'}",
             f"--creds={creds / 'server'}", "--steps=4", "--lr=0.1", *flags]
        )  # fmt: skip

    return call


def refused(code, capsys, *words):
    error = capsys.readouterr().err
    assert code == cli.BAD_INPUT and error.count("\n") == 1, error
    for word in words:
        assert word in error


def test_keys_are_nobody_elses_to_read_and_are_not_written_over(creds, capsys):
    files = [path for path in creds.rglob("*") if path.is_file()]
    assert len(files) == 4 + 2 + 2 * 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}

    code = cli.main(["federate", "keys", f"--out={creds}", "--clients=1"])

    refused(code, capsys, "exists and is not empty")


def test_a_question_is_the_servers_or_is_refused(creds):
    check = keys.check_of(creds / "client-1")
    question = Question(1, 1, 1, 0, 7)
    signed = pack_question(question, keys.signer_of(creds / "server"))

    assert read_question(signed, check) == question
    for forged in (pack_question(question), signed[:-1] + bytes([signed[-1] ^ 1])):
        with pytest.raises(InputError, match="did not sign"):
            read_question(forged, check)


def test_a_port_in_use_is_refused(server, capsys):
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        taken_port.listen()
        port = taken_port.getsockname()[1]
        refused(server(f"--listen=127.0.0.1:{port}"), capsys, "Address already in use")


@pytest.mark.parametrize("listen", ["8000", "here:", "127.0.0.1:0", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(listen, server, capsys):
    refused(server(f"--listen={listen}"), capsys, "expected HOST:PORT")


def test_a_folder_that_holds_no_keys_is_refused(server, capsys, tmp_path):
    refused(server(f"--creds={tmp_path}"), capsys, "ca.crt: No such file")


def test_another_version_of_flower_is_refused(server, capsys, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "1.43.0")

    refused(server(), capsys, "found flwr 1.43.0, expected 1.42.0")


def test_an_older_python_is_refused(server, capsys, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))

    refused(server(), capsys, "Python 3.10: Flower needs 3.11")


def test_a_client_without_its_keys_is_refused(golden_bundle, tmp_path, capsys):
    data = write_tsv(tmp_path / "data.tsv", rows(4, seed=1))
    code = cli.main(
        ["federate", "client", f"--bundle={golden_bundle.folder}", f"--train={data}",
         f"--run={tmp_path / 'c'}", f"--creds={tmp_path}"]
    )  # fmt: skip

    refused(code, capsys, "ca.crt: No such file")


def test_a_server_with_fewer_keys_than_a_round_needs_is_refused(creds, server, capsys, tmp_path):
    refused(server("--min_clients=3"), capsys, "has the keys of 2 clients")

    shutil.copytree(creds / "server", tmp_path / "keyless")
    shutil.rmtree(tmp_path / "keyless" / keys.PUBLIC)
    refused(server(f"--creds={tmp_path / 'keyless'}"), capsys, "has the keys of 0 clients")


HOSTS = (
    "b\u00fccher.example", "a b", "http://a.example", "a.example:8000", "a.example/",
    "192.168.1.300", "0.0.0.0", "a..b", "-a.example", "x" * 64, "", "a,,b",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_no_certificate_can_name_is_refused(host, tmp_path, capsys):
    out = tmp_path / "creds"
    code = cli.main(["federate", "keys", f"--out={out}", "--clients=1", f"--host={host}"])

    refused(code, capsys, "--host=", "expected an address or a name in ASCII")
    assert not out.exists()


@pytest.mark.parametrize("server", ["http://a.example:8000", "a b:8000", "0.0.0.0:8000"])
def test_a_server_that_nobody_can_call_is_refused(server, creds, golden_bundle, tmp_path, capsys):
    code = cli.main(
        ["federate", "client", f"--bundle={golden_bundle.folder}", "--train=x.tsv",
         f"--run={tmp_path / 'c'}", f"--creds={creds / 'client-0'}", f"--server={server}"]
    )  # fmt: skip

    refused(code, capsys, f"--server={server}: ")


@pytest.mark.parametrize("is_there_before", [True, False])
def test_a_client_of_another_bundle_ends(
    is_there_before, creds, golden_bundle, tmp_path, capsys, monkeypatch
):
    data, run = write_tsv(tmp_path / "data.tsv", rows(4, seed=1)), tmp_path / "part"
    run.mkdir()

    @contextmanager
    def started(*arguments):
        assert not is_there_before, "the SuperNode is not started"
        new_journal(run / JOURNAL, {"bundle_checksum": "another"})
        yield SimpleNamespace(poll=lambda: None)

    if is_there_before:
        new_journal(run / JOURNAL, {"bundle_checksum": "another"})
    monkeypatch.setattr(client, "started", started)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.0)
    code = cli.main(
        ["federate", "client", f"--bundle={golden_bundle.folder}", f"--train={data}",
         f"--run={run}", f"--creds={creds / 'client-0'}"]
    )  # fmt: skip

    refused(code, capsys, "the federation trains bundle another")


class Pushed:
    """Flower's grid: replies come at the second pull."""

    def __init__(self, replies):
        self.replies, self.messages, self.pulls = replies, [], 0

    def push_messages(self, messages):
        self.messages = messages
        return [str(message.metadata.dst_node_id) for message in messages]

    def pull_messages(self, waiting):
        self.pulls += 1
        return [self.replies[i] for i in sorted(waiting) if i in self.replies and self.pulls > 1]


def reply(client, content):
    metadata = SimpleNamespace(reply_to_message_id=str(client), src_node_id=client)
    return SimpleNamespace(
        metadata=metadata, content=content, has_content=lambda: content is not None
    )


def test_the_grid_hands_over_bytes_and_drops_errors_and_what_is_late():
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    replies = {
        "1": reply(1, {RECORD: {DATA: b"one"}}),
        "2": reply(2, None),
        "3": reply(3, {RECORD: {DATA: 7}}),
        "4": reply(4, {RECORD: {DATA: b"four"}}),
    }
    grid, came = Pushed(replies), []

    def wanted(client, data):
        came.append((client, data))
        return True

    FlowerGrid(grid).ask(dict.fromkeys(range(1, 6), b"?"), wanted, seconds=1.0)

    assert came == [(1, b"one"), (4, b"four")]
    assert len(grid.messages) == 5 and grid.messages[0].content[RECORD][DATA] == b"?"


@pytest.mark.parametrize("is_locked", [True, False])
def test_a_second_server_app_leaves_the_run_to_the_first(
    is_locked, creds, golden_bundle, tmp_path, monkeypatch
):
    """On a slow machine one more is started before the first has said that it is there."""
    run, home = tmp_path / "fed", tmp_path / "fed" / server_command.HOME
    arguments = [
        f"--bundle={golden_bundle.folder}", f"--run={run}", f"--creds={creds / 'server'}",
        "--steps=1", "--lr=0.1",
    ]  # fmt: skip
    write_json(home / server_command.CALLED, {"arguments": arguments})
    (home / server_command.ALIVE).write_text("7")
    monkeypatch.setattr(server_command, "LEFT_SECONDS", 0.0)
    monkeypatch.setattr(server_command, "is_alive", lambda home: True)

    with run_lock(run) if is_locked else nullcontext():
        serve_run(run, InProcess({}))

    ended, alive = home / server_command.ENDED, (home / server_command.ALIVE).read_text()
    if is_locked:
        assert not ended.exists() and alive == "7"
    else:
        assert "holds no run" in ended.read_text() and alive == str(os.getpid())
