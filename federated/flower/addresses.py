"""Names and addresses of machines, as people give them."""

import ipaddress
import re
import socket

from pocketllm.runtime.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY = "0.0.0.0"  # to listen at, and nobody's address
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
MOST_NAME = 253  # characters of a name in DNS


def check_host(host: str, flag: str, text: str | None = None) -> None:
    """Checks the name or the address of a machine.

    Args:
      host: as it was given.
      flag: that gave it.
      text: the flag's whole value, where the host is a part of it.

    Raises:
      InputError: it is neither; a URL, a port, a list of several is none.
    """
    try:
        is_good = not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        labels = host.split(".")
        is_good = (
            len(host) <= MOST_NAME
            and all(LABEL.fullmatch(label) for label in labels)
            and not labels[-1].isdecimal()  # four numbers that are no address
        )
    if not is_good:
        raise InputError(
            f"--{flag}={host if text is None else text}: {host!r} is no machine; expected an "
            "address or a name in ASCII, such as 192.168.1.10 or server.example"
        )


def address_of(text: str, flag: str) -> tuple[str, int]:
    """Returns (host, port) of HOST:PORT. Raises InputError for anything else."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"--{flag}={text}: expected HOST:PORT, such as 127.0.0.1:8000")
    if host != ANY:
        is_bracketed = host.startswith("[") and host.endswith("]")  # of IPv6
        check_host(host[1:-1] if is_bracketed else host, flag, text)
    return host, int(port)


def free_port() -> int:
    """Returns a port of this machine's own address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_free(host: str, port: int, flag: str) -> None:
    """Raises InputError where nothing can listen at an address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"--{flag}={host}:{port}: {error.strerror}; another program listens there, or this "
                "machine has no such address: choose another one"
            ) from error
