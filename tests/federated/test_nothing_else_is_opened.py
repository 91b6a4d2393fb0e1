"""A simulation opens no socket, and its data is read by its own process alone; who says so."""

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from deployed import WATCHED
from small_runs import pocketllm, rows, write_tsv
from sockets import sockets_of

NOTES = "POCKETLLM_TEST_NOTES"


@pytest.fixture
def notes_of(golden_bundle, tmp_path):
    """Runs a simulation under an audit hook: (*flags) -> (pid, event) of each note."""

    def run(*flags):
        hook = tmp_path / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(WATCHED)
        data = write_tsv(tmp_path / "train.tsv", rows(24, seed=5))
        path = ":".join([str(hook), *filter(None, sys.path)])
        done = pocketllm(
            "federate", "simulate", f"--bundle={golden_bundle.folder}", f"--data={data}",
            f"--run={tmp_path / 'fed'}", "--steps=2", "--batch_size=2", "--lr=1e-2", "--threads=1",
            "--clients=3", f"--dev={data}", *flags,
            PYTHONPATH=path, **{NOTES: str(tmp_path / "notes")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "notes").read_text().splitlines()
        return [(line.split("\t")[0], line.split("\t")[2]) for line in lines]

    return run


def test_a_simulation_opens_no_socket_and_one_process_reads_the_data(notes_of):
    notes = notes_of()

    assert [event for _, event in notes if event.startswith("socket.")] == []
    reads = {pid for pid, event in notes if event.startswith("open ")}
    assert len(reads) == 1 and {Path(event.split()[1]).name for _, event in notes} == {"train.tsv"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux lists sockets in /proc")
def test_the_kernel_lists_sockets_of_every_protocol():
    """As the test of a deployment reads its lists."""
    with ExitStack() as stack:
        ends = {}
        for protocol, family, kind, host in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
            ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, "::1"),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
        ):
            if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
                continue
            opened = stack.enter_context(socket.socket(family, kind))
            opened.bind((host, 0))
            if kind == socket.SOCK_STREAM:
                opened.listen()
            ends[protocol, opened.getsockname()[:2]] = kind == socket.SOCK_STREAM
        address = next(local for protocol, local in ends if protocol == "tcp")
        own = stack.enter_context(socket.create_connection(address)).getsockname()

        listed = sockets_of([os.getpid()])

    assert ends.items() <= {(each.protocol, each.local): each.listens for each in listed}.items()
    (call,) = [each for each in listed if each.remote == address]
    assert call.local == own and not call.listens and "python" in call.program
