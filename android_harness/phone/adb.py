"""The adb client: runs a shell script on a phone, copies one file to or from it.

Devices without shell protocol v2 return no exit code, mix stdout with stderr and run every command
on a terminal. So a script's output goes through a pipe on the phone, which makes both outputs one
and keeps `ls` from columns and escapes, and its exit code is a last line of our own.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from shlex import quote

from pocketllm.runtime.errors import RunError

from ..programs import need
from .paths import INCOMING, script

INSTALL = "install Android's platform tools (Debian and Ubuntu: the package adb)"
END = "pocketllm-exit-code:"
# An old adbd takes 4,096 bytes a command, "shell:" and a zero counted.
COMMAND_BYTES = 4000
MAKE_ROOM = "`pocketllm device clean` makes room"
NO_SPACE = re.compile(r"No space left|Disk quota exceeded|ENOSPC", re.I)
TOO_LONG = re.compile(r"too long|oversized|too large", re.I)
ALLOW = "unlock the phone and allow USB debugging from this computer"
# state of a device, as adb spells it -> remedy
REMEDIES = {
    "unauthorized": ALLOW,
    "authorizing": ALLOW,
    "offline": "unplug the phone and plug it in again, or switch USB debugging off and on",
    "no permissions": "install android-sdk-platform-tools-common (udev rules), plug in again",
    "bootloader": "start Android on the phone",
    "recovery": "start Android on the phone",
    "sideload": "start Android on the phone",
    "cannot connect to daemon": "adb's server does not start; `adb start-server` says why",
}


class ConnectionLost(RunError):
    """The connection to the phone is lost; jobs on the phone may go on."""


@dataclass(frozen=True)
class Phone:
    """A device that is ready, and the path of the adb program that reaches it."""

    adb: str
    serial: str


@dataclass(frozen=True)
class Answer:
    """A script's exit code and output, stdout and stderr together."""

    code: int
    output: str


def find_adb() -> str:
    """Returns the adb client's path; raises InputError where there is none."""
    return need("adb", INSTALL)


def shell(phone: Phone, lines: str) -> Answer:
    """Runs a script in the phone's shell, with empty input; bytes that are not UTF-8 are escaped.

    Files that the script makes are for their owner alone. A script that is longer than a phone
    takes in a command is collected in a file there first.

    Args:
      phone: the phone to run it on.
      lines: POSIX shell; the caller quotes every value in it (shlex.quote).

    Raises:
      ConnectionLost: the line with the exit code did not arrive.
      RunError: adb itself failed, or the phone is too full for the file of a long script.
    """
    if len(os.fsencode(_wrapped(lines))) <= COMMAND_BYTES:
        return _shell(phone, lines)
    path = f"{INCOMING}/script-{token_hex(8)}"
    start = script('mkdir -p "${path%/*}" && : >"$path"', path=path)
    check_output(phone, start, path)
    for part in _parts(lines, COMMAND_BYTES - len(os.fsencode(_append("", path)))):
        check_output(phone, _append(part, path), path)
    run = script('sh "$path"', "code=$?", 'rm -f "$path"', "exit $code", path=path)
    return _shell(phone, run)


def check_output(phone: Phone, lines: str, trouble: str) -> str:
    """Runs a script that must succeed; returns its output.

    Raises:
      RunError: the exit code is not 0; the message is `trouble` and the script's last line.
    """
    answer = shell(phone, lines)
    if answer.code:
        last = answer.output.strip().splitlines()[-1:] or [f"exit code {answer.code}"]
        raise RunError(with_room(f"{trouble}: {last[0]}"))
    return answer.output


def with_room(message: str) -> str:
    """Returns a message; one that says that the phone is full, with the remedy."""
    return f"{message}; {MAKE_ROOM}" if NO_SPACE.search(message) else message


def is_there(phone: Phone, path: str) -> bool:
    """Returns whether there is something of this path on the phone."""
    return "yes" in check_output(phone, f"[ -e {quote(path)} ] && echo yes; true", path)


def send_file(phone: Phone, path: Path, remote: str) -> None:
    """Copies one file to the phone; for errors see `_transfer`."""
    _transfer(phone, ["push", str(path), remote], remote)


def fetch_file(phone: Phone, remote: str, path: Path) -> None:
    """Copies one file from the phone; for errors see `_transfer`."""
    _transfer(phone, ["pull", remote, str(path)], remote)


def run_adb(command: list[str]) -> subprocess.CompletedProcess:
    """Runs the adb client; raises RunError where the program cannot be started."""
    try:
        # A session of its own: Ctrl-C goes to us alone, and we ask the phone to stop.
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            env=os.environ | {"LC_ALL": "C"},
        )
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"{command[0]}: cannot be started ({reason}); {INSTALL}") from error


def last_line(done: subprocess.CompletedProcess) -> str:
    """Returns adb's last error, else what it said last, on stderr if it said anything there."""
    lines = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("adb: ", "error: "))]
    for line in (errors or lines)[-1:]:
        return line.removeprefix("adb: ").removeprefix("error: ")
    return "no answer"


def _wrapped(lines):
    # A subshell: an `exit` in the script must not skip the exit code's line.
    inner = f"(\n{lines}\n) </dev/null 2>&1; code=$?; echo; echo {END}$code"
    return f"umask 077; {{ {inner}; }} | cat"


def _shell(phone, lines):
    done = run_adb([phone.adb, "-s", phone.serial, "shell", _wrapped(lines)])
    data = done.stdout
    if data.endswith(b"\r\n"):  # a terminal turned every \n into \r\n, that of our last line too
        data = data.replace(b"\r\n", b"\n")
    output, marker, rest = data.decode(errors="surrogateescape").rpartition(f"\n{END}")
    code, newline, _ = rest.partition("\n")
    if not (marker and newline and code.isdecimal()):
        raise _failure(phone, done)
    return Answer(int(code), output)


def _failure(phone, done):
    """Returns the exception of a command of adb's that did not run to its end."""
    reason = last_line(done)
    if TOO_LONG.search(reason):
        return RunError(f"{phone.serial}: adb refuses a command ({reason}); take a newer adb")
    remedies = [remedy for state, remedy in REMEDIES.items() if state in reason]
    return ConnectionLost(
        f"{phone.serial}: the connection was lost ({'; '.join([reason, *remedies[:1]])})"
    )


def _append(part, path):
    """Returns the script that appends text to a file, wrapped as it will be sent."""
    return script(f'printf %s {quote(part)} >>"$path"', path=path)


def _parts(text, most_bytes):
    """Yields pieces of a text that take at most so many bytes when they are quoted and wrapped."""
    room = most_bytes - len(_wrapped(""))
    while text:
        count = min(len(text), room)
        while len(os.fsencode(quote(text[:count]))) > room:
            count = count * 3 // 4
        line_end = text.rfind("\n", 0, count) + 1  # whole lines where there are any
        count = line_end or count
        yield text[:count]
        text = text[count:]


def _transfer(phone, command, remote):
    """Runs `adb push` or `adb pull`.

    Raises:
      ConnectionLost: the phone no longer answers.
      RunError: the phone answers, and refused the copy.
    """
    done = run_adb([phone.adb, "-s", phone.serial, *command])
    if done.returncode == 0:
        return
    if shell(phone, "true").code == 0:  # raises ConnectionLost if the phone is gone
        raise RunError(with_room(f"{remote}: {last_line(done)}"))
