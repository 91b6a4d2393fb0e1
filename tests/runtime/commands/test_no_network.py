"""No command talks to a network: with every attempt recorded and refused, all still work."""

import os

import pytest
from small_runs import pocketllm, python

pytest_plugins = ["runtime_fixtures"]

# Runs at the start of every Python process, children too. The audit events come from the socket
# module's C code, so that no import order or saved reference gets around them. Making a socket and
# binding it to ::1 sends nothing; urllib3 does so on import, to learn whether there is IPv6.
SITECUSTOMIZE = """
import os, sys

HARMLESS = ("socket.__new__", "socket.bind", "socket.gethostname")

def refuse(event, arguments):
    if event.startswith("socket.") and event not in HARMLESS:
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {arguments!r}\\n")
        raise PermissionError(f"{event}: no network in this test")

sys.addaudithook(refuse)
open(os.environ["NETWORK_LOG"], "a").write("watching\\n")
"""


@pytest.fixture
def offline(tmp_path):
    """The environment of a process whose sockets are refused, and the record of its attempts."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    log = tmp_path / "network.log"
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": path, "NETWORK_LOG": str(log), "HF_HUB_OFFLINE": "0"}

    def attempts():
        lines = log.read_text().splitlines()
        assert "watching" in lines, "nobody watched"
        return [line for line in lines if line != "watching"]

    return environment, attempts


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', "
        "'import socket; socket.create_connection((\"::1\", 9))'], check=True)",
    ],
    ids=["connect", "resolve", "http", "child"],
)
def test_the_watch_sees_and_stops_attempts(code, offline):
    environment, attempts = offline

    done = python(code, **environment)

    assert done.returncode == 1
    assert "no network in this test" in done.stderr
    assert attempts()[0].startswith("socket.")


def test_train_eval_and_inspect_talk_to_no_one(
    engine, offline, golden_bundle, train_file, dev_file, tmp_path
):
    environment, attempts = offline
    bundle, run = f"--bundle={golden_bundle.folder}", f"--run={tmp_path / 'run'}"

    for arguments in (
        ["inspect", bundle],
        ["train", bundle, run, f"--train={train_file}", f"--dev={dev_file}", "--steps=3",
         f"--engine={engine}"],
        ["eval", bundle, run, f"--data={dev_file}", f"--engine={engine}"],
    ):  # fmt: skip
        done = pocketllm(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert attempts() == []


@pytest.mark.desktop
def test_quickstart_talks_to_no_one(offline, tmp_path):
    environment, attempts = offline

    done = pocketllm(
        "quickstart", f"--workdir={tmp_path / 'work'}", "--steps=4", timeout=300, **environment
    )

    assert done.returncode == 0, done.stderr
    assert attempts() == []
    assert (tmp_path / "work" / "run.png").stat().st_size > 1000
