"""A federation in processes on this machine: the commands, Flower's programs, and their kills."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from small_runs import rows, write_tsv
from sockets import Socket, sockets_of
from waiting import wait_until

from pocketllm.federated.flower.addresses import free_port
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

MARK = "POCKETLLM_TEST_FEDERATION"  # in the environment of every process of a federation
SECONDS = 600.0
LEFT_SECONDS = 30.0  # that what a killed command left may take to end
# Written into a folder of PYTHONPATH: every Python process notes what it opens and whom it calls.
WATCHED = """\
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.bind"):
        line = f"{event} {arguments[1]!r}"
    elif event == "open" and str(arguments[0]).endswith(".tsv"):
        line = f"{event} {arguments[0]}"
    else:
        return
    target = os.open(os.environ["POCKETLLM_TEST_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(target, f"{os.getpid()}\\t{' '.join(sys.argv)}\\t{line}\\n".encode())
    os.close(target)

sys.addaudithook(note)
"""


class Deployment:
    """A server and clients, each a command in a process of its own."""

    def __init__(self, folder: Path, bundle: Path, clients: int = 3):
        """Makes keys and data; nothing runs yet."""
        self.folder, self.bundle, self.clients = folder, bundle, clients
        self.port = free_port()
        self.mark = uuid.uuid4().hex
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(WATCHED)
        self.notes = folder / "notes"
        self._commands: dict[str, subprocess.Popen] = {}
        self.left: list[bytes] = []  # command lines
        self._adb: Mapping[str, str] = {}
        done = self._run("keys", f"--out={folder / 'creds'}", f"--clients={clients}")
        assert done.returncode == 0, done.stderr
        for number in range(clients):
            write_tsv(folder / f"part-{number}.tsv", rows(12, seed=number + 1))

    @property
    def run(self) -> Path:
        """The server's run directory."""
        return self.folder / "fed"

    @property
    def steps(self) -> int:
        """How many steps the server's journal holds, 0 without one."""
        path = self.run / JOURNAL
        return len(read_journal(path).steps) if path.exists() else 0

    def client_run(self, number: int) -> Path:
        """A client's run directory."""
        return self.folder / f"client-{number}"

    def start_server(self, *flags: str) -> None:
        """Starts the server's command."""
        self._start(
            "server", f"--bundle={self.bundle}", f"--run={self.run}", "--lr=1e-2", "--eps=1e-2",
            f"--creds={self.folder / 'creds/server'}", f"--listen=127.0.0.1:{self.port}",
            "--steps=4000", "--round_steps=4", "--batch_size=3",
            "--round_seconds=120", "--quorum=0.6", *flags,
        )  # fmt: skip

    def start_client(self, number: int, creds: Path | None = None) -> None:
        """Starts a client's command."""
        creds = creds or self.folder / f"creds/client-{number}"
        self._client(number, creds, f"--train={self.folder / f'part-{number}.tsv'}")

    def start_gateway(self, number: int, data: str, environment: Mapping[str, str]) -> None:
        """Starts a client's command that a phone answers for; the environment has the phone."""
        self._adb = environment
        creds = self.folder / f"creds/client-{number}"
        self._client(number, creds, "--via=device", f"--device_data={data}")

    def wait_for_steps(self, least: int, watch: Callable[[], None] = lambda: None) -> None:
        """Waits until the server's journal holds so many steps; calls `watch` until then."""

        def there():
            watch()
            for name, command in self._commands.items():
                assert command.poll() is None, self.output(name)
            return self.steps >= least

        wait_until(there, f"{least} steps, {self.output('server')}", SECONDS)

    def wait_for_refusal(self, number: int, words: str) -> None:
        """Waits until a client's SuperNode notes once more that it cannot take part."""
        path = self.client_run(number) / "flower" / "node.log"

        def count():
            return path.read_text(errors="replace").count(words) if path.exists() else 0

        before = count()
        wait_until(lambda: count() > before, f"{words!r} once more in {path}", SECONDS)

    def sockets(self) -> list[Socket]:
        """Returns the sockets that the federation's processes have now."""
        return sockets_of(self._pids())

    def wait_for_end(self, name: str) -> int:
        """Waits until a command ends by itself; returns its exit code."""
        return self._commands.pop(name).wait(SECONDS)

    def processes(self, name: str) -> list[int]:
        """Returns the pids of one of Flower's programs in this federation."""
        return [pid for pid in self._pids() if name.encode() in _read(pid, "cmdline")]

    def kill(self, name: str) -> int | None:
        """Kills (-9) a command, or the newest process of a program; None: there is none."""
        if name in self._commands:
            command = self._commands.pop(name)
            command.kill()
            command.wait()
            return command.pid
        for pid in sorted(self.processes(name), reverse=True):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    def stop(self) -> None:
        """Ends the commands as Ctrl-C does, notes in `left` what outlives them, and ends that."""
        for command in self._commands.values():
            command.terminate()
        for command in self._commands.values():
            with suppress(subprocess.TimeoutExpired):
                command.wait(60)
        end = time.monotonic() + LEFT_SECONDS
        while self._pids() and time.monotonic() < end:
            time.sleep(0.5)
        self.left = [_read(pid, "cmdline") for pid in self._pids()]
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def output(self, name: str) -> str:
        """Returns what a command printed."""
        path = self.folder / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def _client(self, number, creds, *flags):
        self._start(
            f"client-{number}", f"--bundle={self.bundle}", f"--run={self.client_run(number)}",
            f"--creds={creds}", "--threads=1", f"--server=127.0.0.1:{self.port}", *flags,
        )  # fmt: skip

    def _start(self, name, *flags):
        with open(self.folder / f"{name}.out", "ab") as out:
            self._commands[name] = subprocess.Popen(
                self._words(name.partition("-")[0], *flags),
                stdout=out, stderr=out, env=self._environment(),
            )  # fmt: skip

    def _run(self, *words):
        environment = self._environment()
        return subprocess.run(self._words(*words), capture_output=True, text=True, env=environment)

    def _words(self, *words):
        return [sys.executable, "-m", "pocketllm.runtime.cli", "federate", *words]

    def _environment(self):
        folders = [str(self.folder / "hook"), os.environ.get("PYTHONPATH", "")]
        return os.environ | self._adb | {
            MARK: self.mark, "POCKETLLM_TEST_NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join(folders),
        }  # fmt: skip

    def _pids(self):
        mark = f"{MARK}={self.mark}".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        return [pid for pid in pids if mark in _read(pid, "environ")]


def _read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
