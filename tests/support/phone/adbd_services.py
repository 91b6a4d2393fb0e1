"""What a phone's adbd does for its clients: `shell` (protocol v1 and v2) and `sync`."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from contextlib import suppress
from pathlib import Path

SHELL = "/system/bin/sh"
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)  # packets of shell protocol v2
PACKET = struct.Struct("<BI")
REQUEST = struct.Struct("<4sI")
PIECE = 64 * 1024  # of sync's DATA


def serve_service(stream, service: str) -> None:
    """Serves one stream to its end; raises OSError when nobody listens any more."""
    name, _, rest = service.partition(":")
    if name == "sync":
        _sync(stream)
    elif name == "shell":
        _run_v1(stream, rest)
    elif name.startswith("shell,v2"):
        _run_v2(stream, rest)


def _hang_up(process):
    """What a terminal's end does to what runs in it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGHUP)


def _heed_hang_ups():
    """A test run under nohup ignores SIGHUP, and what it starts would too."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _own_terminal():
    _heed_hang_ups()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _run_v1(stream, command):
    """On a terminal of 80 columns, as old adbds do it: all output in one, no exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        [SHELL, "-c", command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd="/",
        start_new_session=True,
        preexec_fn=_own_terminal,
    )
    os.close(theirs)
    _hang_up_at_end(stream, process)
    threading.Thread(target=_type, args=(stream, ours), daemon=True).start()
    with suppress(OSError):  # EIO: every process that had the terminal has ended
        while piece := os.read(ours, PIECE):
            stream.write(piece)
    process.wait()


def _type(stream, terminal):
    """Types what the client sends; the terminal echoes it."""
    with suppress(OSError):
        while data := stream.read():
            os.write(terminal, data)


def _run_v2(stream, command):
    process = subprocess.Popen(
        [SHELL, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
        preexec_fn=_heed_hang_ups,
    )
    _hang_up_at_end(stream, process)
    threading.Thread(target=_feed, args=(stream, process), daemon=True).start()
    writers = [
        threading.Thread(target=_forward, args=(stream, kind, pipe), daemon=True)
        for kind, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stream.write(PACKET.pack(EXIT, 1) + bytes([process.wait() & 0xFF]))


def _hang_up_at_end(stream, process):
    def watch():
        stream.closed.wait()
        _hang_up(process)

    threading.Thread(target=watch, daemon=True).start()


def _feed(stream, process):
    while header := stream.read(PACKET.size):
        kind, length = PACKET.unpack(header)
        data = stream.read(length) if length else b""
        try:
            if kind == STDIN:
                process.stdin.write(data)
                process.stdin.flush()
            elif kind == CLOSE_STDIN:
                process.stdin.close()
        except (OSError, ValueError):
            pass  # it has ended


_writing = threading.Lock()


def _forward(stream, kind, pipe):
    try:
        while piece := pipe.read1():
            with _writing:
                stream.write(PACKET.pack(kind, len(piece)) + piece)
    except OSError:
        pass


def _sync(stream):
    """File transfer: STAT, LIST, SEND and RECV of version 1, until QUIT."""
    while header := stream.read(REQUEST.size):
        name, length = REQUEST.unpack(header)
        path = stream.read(length).decode() if length else ""
        if name == b"QUIT":
            return
        SYNC[name](stream, path)


def _stat_fields(path):
    try:
        status = os.lstat(path)
        return status.st_mode, status.st_size & 0xFFFFFFFF, int(status.st_mtime)
    except OSError:
        return 0, 0, 0


def _stat(stream, path):
    stream.write(struct.pack("<4s3I", b"STAT", *_stat_fields(path)))


def _list(stream, path):
    for name in sorted(os.listdir(path)) if os.path.isdir(path) else ():
        fields = _stat_fields(os.path.join(path, name))
        stream.write(struct.pack("<4s4I", b"DENT", *fields, len(name.encode())) + name.encode())
    stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


def _receive(stream, path):
    try:
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                stream.write(REQUEST.pack(b"DATA", len(piece)) + piece)
    except FileNotFoundError as error:
        return _fail(stream, error)
    stream.write(REQUEST.pack(b"DONE", 0))


def _send(stream, request):
    """What is cut off goes; after an error the rest is read and thrown away, as Android does."""
    path, _, mode = request.rpartition(",")
    trouble = None
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "wb")  # noqa: SIM115 (closed below, or never opened)
    except OSError as error:
        file, trouble = None, error
    while header := stream.read(REQUEST.size):
        name, length = REQUEST.unpack(header)
        if name == b"DONE":
            break
        data = stream.read(length)
        if trouble is None and data:
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                trouble = error
    if file:
        file.close()
    if not header or trouble:
        Path(path).unlink(missing_ok=True)
    if trouble:
        return _fail(stream, trouble)
    if header:
        os.chmod(path, int(mode) & 0o777)
        os.utime(path, (length, length))
        stream.write(REQUEST.pack(b"OKAY", 0))


def _fail(stream, error):
    message = str(error.strerror).encode()
    stream.write(REQUEST.pack(b"FAIL", len(message)) + message)


SYNC = {b"STAT": _stat, b"LIST": _list, b"SEND": _send, b"RECV": _receive}
