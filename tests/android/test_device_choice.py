"""Which device a command talks to; what adb's own failures are called. A stub stands for adb."""

import os
import subprocess
import sys

import pytest

from pocketllm.android_harness.phone import adb, devices
from pocketllm.runtime.errors import InputError, RunError

pytestmark = pytest.mark.desktop  # the workstation's side
# Lists the lines of `list`, from the second time on those of `later` if it is there; runs scripts
# here, with the serial number in $SERIAL; `says` is what it complains of instead.
STUB = """#!/bin/sh
here=${0%/*}
if [ "$1" = devices ]; then
    echo "List of devices attached"
    cat "$here/list"
    [ ! -e "$here/later" ] || mv "$here/later" "$here/list"
    exit 0
fi
SERIAL=$2; export SERIAL
if [ -e "$here/says" ]; then cat "$here/says" >&2; exit 1; fi
case $3 in
get-state) echo device ;;
shell) exec sh -c "$4" ;;
esac
"""


@pytest.fixture
def adb_lists(tmp_path, monkeypatch):
    """Puts the stub on the PATH: (lines of `adb devices`, those of later, its complaint)."""
    stub = tmp_path / "adb"
    stub.write_text(STUB)
    stub.chmod(0o755)
    getprop = tmp_path / "getprop"
    getprop.write_text('#!/bin/sh\ncat "${0%/*}/serial-$SERIAL" 2>/dev/null\n')
    getprop.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(devices.VARIABLE, raising=False)

    def write(lines, later=None, complains=None):
        for name, text in (("list", lines), ("later", later), ("says", complains)):
            if text is not None:
                (tmp_path / name).write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("lines", "flag", "variable", "chosen"),
    [
        ("A\tdevice\nB\tdevice\n", None, "B", "B"),
        ("A\tdevice\nB\tdevice\n", "A", "B", "A"),
        ("A\tdevice\n", None, "", "A"),
        ("A\tdevice\nemulator-5554\toffline\n", None, None, "A"),
        ("C\tunauthorized\nA\tdevice\nB\tno permissions (x); see [y]\n", None, None, "A"),
        ("A\tdevice\nB\tdevice\n", "usb:1-2", None, "usb:1-2"),
        ("10.0.0.7:5555\tdevice\nB\tdevice\n", "10.0.0.7", None, "10.0.0.7"),
    ],
    ids=["variable", "flag first", "empty variable", "ghost", "not allowed", "by port", "by host"],
)
def test_a_device_is_chosen_as_adb_chooses(adb_lists, monkeypatch, lines, flag, variable, chosen):
    adb_lists(lines)
    if variable is not None:
        monkeypatch.setenv(devices.VARIABLE, variable)

    assert devices.find_phone(flag).serial == chosen


@pytest.mark.parametrize(
    ("lines", "variable", "error", "words"),
    [
        ("A\tdevice\n", "B", RunError, ("no device B", "ANDROID_SERIAL", "A")),
        ("A\tdevice\nB\toffline\n", "B", RunError, ("ANDROID_SERIAL=B", "offline", "plug it in")),
        ("A\tdevice\nB\tdevice\n", None, InputError, ("2 devices", "A, B", "--serial", "ANDROID_")),
        ("0123\tdevice\n0123\tdevice\n", "0123", InputError, ("2 devices", "usb:")),
        ("A\tunauthorized\nB\toffline\n", None, RunError, ("A: the device is unauth", "B: the ")),
        ("", None, RunError, ("no device", "USB debugging")),
    ],
)
def test_where_none_can_be_chosen_the_reason_is_said(
    adb_lists, monkeypatch, lines, variable, error, words
):
    monkeypatch.setattr(devices, "SETTLE_SECONDS", 0.0)
    adb_lists(lines)
    if variable:
        monkeypatch.setenv(devices.VARIABLE, variable)

    with pytest.raises(error) as raised:
        devices.find_phone(None)

    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("wanted", [None, "A"])
def test_a_device_that_is_not_ready_yet_is_looked_at_again(adb_lists, wanted):
    adb_lists("A\toffline\n", later="A\tdevice\n")

    assert devices.find_phone(wanted).serial == "A"


def test_one_phone_by_cable_and_by_air_is_one_phone(adb_lists):
    folder = adb_lists("192.168.1.5:5555\tdevice\nR58M\tdevice\nadb-R58M-x._adb-tls\tdevice\n")
    for serial in ("192.168.1.5:5555", "R58M", "adb-R58M-x._adb-tls"):
        (folder / f"serial-{serial}").write_text("R58M\n")

    assert devices.find_phone(None).serial == "R58M"

    (folder / "serial-R58M").write_text("another\n")
    with pytest.raises(InputError, match="3 devices"):
        devices.find_phone(None)


@pytest.mark.parametrize(
    ("complaint", "error", "words"),
    [
        ("error: device offline", adb.ConnectionLost, ("connection was lost", "offline", "again")),
        ("error: device unauthorized.", adb.ConnectionLost, ("unlock the phone",)),
        ("error: closed", adb.ConnectionLost, ("connection was lost", "closed")),
        ("adb: error: cannot connect to daemon", adb.ConnectionLost, ("adb start-server",)),
        ("error: shell command too long", RunError, ("refuses a command", "too long")),
    ],
)
def test_what_adb_itself_complains_of_is_told_as_that(adb_lists, complaint, error, words):
    adb_lists("A\tdevice\n", complains=complaint)

    with pytest.raises(RunError) as raised:
        adb.shell(adb.Phone(adb.find_adb(), "A"), "true")

    assert type(raised.value) is error
    for word in words:
        assert word in str(raised.value)


def test_an_adb_that_cannot_be_started_is_named(tmp_path):
    program = tmp_path / "adb"
    program.write_text("")

    with pytest.raises(RunError, match=f"{program}: cannot be started .*platform tools"):
        adb.shell(adb.Phone(str(program), "A"), "true")


def test_a_long_script_goes_in_parts_and_leaves_nothing(tmp_path, monkeypatch):
    lengths = []

    def run_here(command):
        lengths.append(len(command[-1].encode()))
        return subprocess.run(["sh", "-c", command[-1]], capture_output=True)

    monkeypatch.setattr(adb, "run_adb", run_here)
    monkeypatch.setattr(adb, "INCOMING", str(tmp_path / "in coming"))
    texts = ["it's ü " * 3, "x" * 9000, "'" * 5000, *(f"line {i} \\n %s" for i in range(300))]
    script = "\n".join(f"printf '%s\\n' {adb.quote(text)}" for text in texts)

    answer = adb.shell(adb.Phone("adb", "A"), f"{script}\nexit 7")

    assert (answer.code, answer.output.splitlines()) == (7, texts)
    assert max(lengths) <= 4096 - len("shell:\0") and len(lengths) > 5
    assert list((tmp_path / "in coming").iterdir()) == []


def test_the_flag_is_said_to_have_a_variable():
    done = subprocess.run(
        [sys.executable, "-m", "pocketllm.runtime.cli", "device", "push", "--help"],
        capture_output=True,
        text=True,
    )

    assert "ANDROID_SERIAL" in done.stdout
