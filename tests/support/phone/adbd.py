"""A phone's side of adb, for tests: Android's adbd, over TCP on 127.0.0.1.

    python adbd.py CONTROL_FOLDER

Messages are 24 bytes of header (command, two arguments, length, checksum, command inverted) and
data; streams are opened by the client and carry one unanswered WRTE at a time, in each direction.

The folder: `settings.json` {"features", "properties", "authorized"} is read for each connection;
`port` is written; `received` is written: bytes of messages so far; while `unplugged` exists there
are no connections, and a number in `unplug_after` makes it appear after so many bytes more.
"""

import json
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from adbd_services import serve_service

CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
HEADER = struct.Struct("<6I")
VERSION, MAX_DATA = 0x01000000, 256 * 1024
OLD_MAX_DATA = 4096  # of an adbd without shell_v2, that of a command too
TOKEN, PUBLIC_KEY = 1, 3  # kinds of AUTH messages: what to sign; the client's key


class Stream:
    """One service's bytes, in both directions."""

    def __init__(self, connection, ours: int, theirs: int):
        """Opened by the client as `theirs`."""
        self._connection, self.ours, self.theirs = connection, ours, theirs
        self.incoming = SimpleQueue()
        self._may_write, self.closed = threading.Semaphore(0), threading.Event()
        self._buffer = b""

    def read(self, count: int | None = None) -> bytes:
        """Returns exactly so many bytes, or without a count whatever comes; b"" at the end."""
        while not self._buffer or (count is not None and len(self._buffer) < count):
            piece = self.incoming.get()
            if not piece:
                self.incoming.put(b"")
                return b""
            self._buffer += piece
        size = len(self._buffer) if count is None else count
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def write(self, data: bytes) -> None:
        """Sends; raises OSError when the stream has ended."""
        for start in range(0, len(data), self._connection.max_data):
            piece = data[start : start + self._connection.max_data]
            self._connection.send(WRTE, self.ours, self.theirs, piece)
            self._may_write.acquire()
            if self.closed.is_set():
                raise OSError("closed")

    def wrote(self) -> None:
        """The client has taken what was sent."""
        self._may_write.release()

    def end(self) -> None:
        """The client has closed the stream, or is gone."""
        self.closed.set()
        self.incoming.put(b"")
        self._may_write.release()


class Connection:
    """One client."""

    def __init__(self, device, link: socket.socket):
        """Serves in threads of its own."""
        self.device, self._link, self._sending = device, link, threading.Lock()
        self.max_data, self._streams = 4096, {}
        self.settings = json.loads((device.control / "settings.json").read_text())
        self._limit = MAX_DATA if "shell_v2" in self.settings["features"] else OLD_MAX_DATA
        threading.Thread(target=self._serve, daemon=True).start()

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """Sends one message."""
        header = HEADER.pack(
            command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF
        )
        with self._sending:
            self._link.sendall(header + data)

    def close(self) -> None:
        """Cuts the cable."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        try:
            while True:
                command, first, second, length, _, _ = HEADER.unpack(self._exactly(HEADER.size))
                if length > self._limit:
                    raise OSError("too long")
                self._answer(command, first, second, self._exactly(length))
        except OSError:
            pass
        finally:
            self.device.connections.discard(self)
            self._link.close()
            for stream in list(self._streams.values()):
                stream.end()

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self._link.recv(count - len(data))
            if not piece:
                raise OSError("gone")
            data += piece
            self.device.count(len(piece))
        return bytes(data)

    def _answer(self, command, first, second, data):
        if command in (CNXN, AUTH) and not self.settings["authorized"]:
            if first != PUBLIC_KEY:  # that one is for the user to agree to
                self.send(AUTH, TOKEN, 0, bytes(20))
        elif command == CNXN:
            self.max_data = min(self._limit, second)
            properties = ";".join(f"{k}={v}" for k, v in self.settings["properties"].items())
            banner = f"device::{properties};features={self.settings['features']}"
            self.send(CNXN, VERSION, self._limit, banner.encode())
        elif command == OPEN:
            stream = Stream(self, len(self._streams) + 1, first)
            self._streams[stream.ours] = stream
            self.send(OKAY, stream.ours, stream.theirs)
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=self._run, args=(stream, service), daemon=True).start()
        elif stream := self._streams.get(second):
            if command == WRTE:
                stream.incoming.put(data)
                self.send(OKAY, stream.ours, stream.theirs)
            elif command == OKAY:
                stream.wrote()
            elif command == CLSE:
                stream.end()

    def _run(self, stream, service):
        try:
            serve_service(stream, service)
            self.send(CLSE, stream.ours, stream.theirs)
        except OSError:
            pass  # nobody listens any more


class Device:
    """The phone's end of the cable."""

    def __init__(self, control: Path):
        """Listens; the port stands in the folder."""
        self.control, self.connections, self._received = control, set(), 0
        self._counting = threading.Lock()
        self._counter = open(control / "received", "w")  # noqa: SIM115 (for the whole life)
        self._listener = socket.create_server(("127.0.0.1", 0))
        (control / "port.partial").write_text(str(self._listener.getsockname()[1]))
        (control / "port.partial").rename(control / "port")

    def serve(self) -> None:
        """Accepts clients, for ever."""
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            link, _ = self._listener.accept()
            if self._unplugged():
                link.close()
            else:
                self.connections.add(Connection(self, link))

    def count(self, received: int) -> None:
        """Adds to `received`, and pulls the plug when it is time."""
        with self._counting:
            self._received += received
            self._counter.write(f"{self._received:20}")  # in one piece: it is read at any time
            self._counter.seek(0)
            limit = self.control / "unplug_after"
            if limit.exists():
                left = int(limit.read_text()) - received
                limit.write_text(str(left))
                if left < 0:
                    limit.unlink()
                    (self.control / "unplugged").touch()
        if self._unplugged():
            raise OSError("unplugged")

    def _watch(self):
        while True:
            time.sleep(0.02)
            for connection in list(self.connections) if self._unplugged() else ():
                connection.close()

    def _unplugged(self):
        return (self.control / "unplugged").exists()


if __name__ == "__main__":
    Device(Path(sys.argv[1])).serve()
