"""The relay that counts bytes, and the memory of a command's processes."""

import os
import socket
import subprocess
import sys
import threading

import pytest
from waiting import wait_until

from pocketllm.federated.flower.addresses import free_port
from pocketllm.federated.flower.processes import descendants
from pocketllm.federated.measure.memory import anonymous_bytes
from pocketllm.federated.measure.relay import Relay, Traffic

LARGE = 64 << 20  # bytes that the child holds
# A session of its own, as SuperExec has.
GRANDCHILD = f"b = bytearray(b'x' * {LARGE}); print(flush=True); input()"
CHILD = (
    "import subprocess, sys;"
    f"subprocess.run([sys.executable, '-c', {GRANDCHILD!r}], start_new_session=True)"
)


@pytest.fixture
def server():
    """Returns the port of a server that takes 5 bytes a connection, and answers with 7,000."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                link.recv(5, socket.MSG_WAITALL)
                link.sendall(bytes(7000))

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def ask(port):
    """Returns what comes back for five bytes."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"hello")
        return b"".join(iter(lambda: link.recv(4096), b""))


def test_a_relay_passes_bytes_as_they_are_and_counts_both_ways(server):
    with Relay(server) as relay:
        before = relay.traffic()
        assert ask(relay.port) == ask(relay.port) == bytes(7000)
        assert relay.traffic() - before == Traffic(up=10, down=14000, connections=2)


def test_a_relay_closes_where_nobody_listens_yet():
    with Relay(free_port()) as relay:
        with socket.create_connection(("127.0.0.1", relay.port)) as link:
            assert link.recv(1) == b""
        assert relay.traffic() == Traffic()


def test_memory_is_that_of_all_descendants_in_other_sessions_too():
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        family = descendants(os.getpid())
        assert child.pid in family and len(descendants(child.pid)) == 1
        assert LARGE <= anonymous_bytes(child.pid)["command"] < LARGE + (60 << 20)
        child.communicate(b"\n")
    wait_until(lambda: child.pid not in descendants(os.getpid()), "its end")
