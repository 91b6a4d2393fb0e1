"""The kernel's own account of processes' sockets, whatever library opened them (Linux)."""

import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROTOCOLS = ("tcp", "tcp6", "udp", "udp6")
LISTENS = "0A"  # a state in /proc/net/tcp

Address = tuple[str, int]  # host, port


@dataclass(frozen=True)
class Socket:
    """A socket of TCP or UDP.

    Attributes:
      protocol: of PROTOCOLS.
      local, remote: its two ends; of one that is not connected the remote port is 0.
      listens: whether others can connect to it.
      program: command line of a process that has it.
    """

    protocol: str
    local: Address
    remote: Address
    listens: bool
    program: str


def sockets_of(pids: Iterable[int]) -> list[Socket]:
    """Returns the sockets that the processes have now."""
    programs = {inode: pid for pid in pids for inode in _inodes(pid)}
    return [
        Socket(protocol, local, remote, listens, _program(programs[inode]))
        for protocol in PROTOCOLS
        for inode, local, remote, listens in _table(protocol)
        if inode in programs
    ]


def _inodes(pid) -> Iterator[str]:
    """Yields the inodes of a process's sockets, none of one that ended."""
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                kind, _, inode = os.readlink(path).partition(":")
                if kind == "socket":
                    yield inode.strip("[]")


def _table(protocol):
    path = Path("/proc/net") / protocol
    for line in path.read_text().splitlines()[1:] if path.exists() else ():
        words = line.split()
        yield words[9], _address(words[1]), _address(words[2]), words[3] == LISTENS


def _address(text) -> Address:
    """Returns (host, port) of the kernel's words, each of four bytes in the machine's order."""
    words, _, port = text.partition(":")
    parts = (bytes.fromhex(words[i : i + 8]) for i in range(0, len(words), 8))
    host = ipaddress.ip_address(
        b"".join(part[::-1] if sys.byteorder == "little" else part for part in parts)
    )
    return str(getattr(host, "ipv4_mapped", None) or host), int(port, 16)


def _program(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return "ended"
