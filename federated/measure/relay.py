"""A TCP relay that counts: bytes pass as they are, TLS and all."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

PIECE = 1 << 16
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Traffic:
    """Bytes of TCP's payload, headers of TCP and IP not counted.

    Attributes:
      up: from those who connected.
      down: to them.
      connections: that were opened.
    """

    up: int = 0
    down: int = 0
    connections: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        """Returns both counts together."""
        return Traffic(
            self.up + other.up, self.down + other.down, self.connections + other.connections
        )

    def __sub__(self, other: "Traffic") -> "Traffic":
        """Returns what came since another count."""
        return Traffic(
            self.up - other.up, self.down - other.down, self.connections - other.connections
        )


class Relay:
    """Listens at a port of this machine's own, and passes on to another one; a context manager."""

    def __init__(self, port: int):
        """Passes on to 127.0.0.1:port, also where nobody listens there yet."""
        self._target = ("127.0.0.1", port)
        self._traffic, self._counting = Traffic(), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "Relay":
        """Begins to listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        """Takes no more connections; those that are open end with their two sides."""
        self._listener.close()

    def traffic(self) -> Traffic:
        """Returns the count so far."""
        with self._counting:
            return self._traffic

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._target, CONNECT_SECONDS)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._count(Traffic(connections=1))
                for source, sink, is_up in ((near, far, True), (far, near, False)):
                    threading.Thread(
                        target=self._pass, args=(source, sink, is_up), daemon=True
                    ).start()

    def _pass(self, source, sink, is_up):
        with suppress(OSError):
            while piece := source.recv(PIECE):
                self._count(Traffic(up=len(piece)) if is_up else Traffic(down=len(piece)))
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _count(self, more):
        with self._counting:
            self._traffic += more
