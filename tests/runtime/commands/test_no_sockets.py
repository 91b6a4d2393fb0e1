"""No command opens a socket to a network, native libraries included: the kernel watches.

The audit hook of test_no_network.py sees what Python does. Here a seccomp filter ends any process
of the command that makes a socket of another family than AF_UNIX, and a network namespace has no
interface that is up.
"""

import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["runtime_fixtures"]

# Architecture as the kernel's audit names it, and the number of socket(2).
SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
# Installs the filter, which children and programs inherit, and becomes the command.
LAUNCHER = f"""
import ctypes, os, struct, sys
families, *command = sys.argv[1:]
architecture, socket = {SYSTEM_CALLS.get(platform.machine())}
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
KILL, ALLOW, IO_URING_SETUP, X32 = 0x80000000, 0x7FFF0000, 425, 0x40000000
families = [int(family) for family in families.split(",")]
# Places in the program. A jump counts from the line behind it.
kill, allow = 7 + len(families), 8 + len(families)
program = [
    (LOAD, 0, 0, 4), (EQUAL, 0, kill - 2, architecture),
    (LOAD, 0, 0, 0), (EQUAL, kill - 4, 0, IO_URING_SETUP), (AT_LEAST, kill - 5, 0, X32),
    (EQUAL, 0, allow - 6, socket),
    (LOAD, 0, 0, 16),
    *((EQUAL, allow - 8 - place, 0, family) for place, family in enumerate(families)),
    (RETURN, 0, 0, KILL), (RETURN, 0, 0, ALLOW),
]
code = b"".join(struct.pack("=HBBI", *line) for line in program)
buffer = ctypes.create_string_buffer(code, len(code))
filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
word = ctypes.c_ulong
done = libc.prctl(38, word(1), word(0), word(0), word(0)) or libc.prctl(22, word(2), filter_)
if done:
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(command[0], command)
"""
UNIX, INTERNET, INTERNET6, NETLINK, PACKET = 1, 2, 10, 16, 17
DATA = Path(__file__).parents[3] / "tflite_models" / "roberta_micro" / "sst2_dev.tsv"


def watching(command, families=(UNIX,)):
    """Returns the command whose processes may make sockets of these families only."""
    if platform.machine() not in SYSTEM_CALLS:
        pytest.skip(f"no numbers of system calls for {platform.machine()}")
    return [sys.executable, "-c", LAUNCHER, ",".join(map(str, families)), *map(str, command)]


def watched(*command):
    """Runs a command whose processes may make sockets of AF_UNIX only."""
    done = run_text(watching(command))
    if "seccomp: " in done.stderr:
        pytest.skip(f"no filter of system calls can be made here: {done.stderr}")
    return done


def run_text(command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


def disconnected(*command):
    """Runs a command in a network namespace whose only interface, lo, is down."""
    for prefix in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and run_text([*prefix, "true"]).returncode == 0:
            return run_text([*prefix, *command])
    pytest.skip("no network namespace can be made here")


def cli(*arguments):
    return [sys.executable, "-m", "pocketllm.runtime.cli", *arguments]


def commands_of(folder, data, run, *flags):
    """Yields inspect, train and eval of a bundle."""
    bundle = f"--bundle={folder}"
    yield cli("inspect", bundle)
    yield cli("train", bundle, f"--train={data}", f"--dev={data}", f"--run={run}", "--steps=3",
              *flags)  # fmt: skip
    yield cli("eval", bundle, f"--data={data}", f"--run={run}", *flags)


@pytest.mark.parametrize("family", [INTERNET, INTERNET6, NETLINK, PACKET])
@pytest.mark.parametrize("place", ["here", "child"])
def test_the_watch_ends_a_native_socket(family, place):
    native = f"import ctypes; ctypes.CDLL(None).socket({family}, 1, 0); print('made')"
    child = (
        f"import subprocess, sys; c = subprocess.run([sys.executable, '-c', {native!r}]);"
        "sys.exit(9 if c.returncode == -31 else 0)"
    )

    done = watched(sys.executable, "-c", {"here": native, "child": child}[place])

    assert "made" not in done.stdout
    assert done.returncode == (-signal.SIGSYS if place == "here" else 9)


def test_the_watch_lets_local_sockets_and_files_pass():
    code = "import socket; socket.socketpair(); open('/dev/null').read(); print('made')"

    assert watched(sys.executable, "-c", code).stdout == "made\n"


def test_a_namespace_has_no_way_out():
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"

    done = disconnected(sys.executable, "-c", code)

    assert "Network is unreachable" in done.stderr or "Cannot assign" in done.stderr


@pytest.mark.parametrize("runner", [watched, disconnected])
def test_train_eval_and_inspect_open_no_socket(runner, engine, golden_bundle, train_file, tmp_path):
    run = tmp_path / "run"

    for command in commands_of(golden_bundle.folder, train_file, run, f"--engine={engine}"):
        done = runner(*command)
        assert done.returncode == 0, done.stderr


@pytest.mark.desktop
def test_a_frozen_base_is_exported_trained_and_replayed_without_a_socket(tmp_path):
    """CompiledModel looks for accelerators, loads what it finds, and packs weights in a child.

    urllib3, which comes with the exporter's libraries, binds a socket to ::1 when it is imported,
    to learn whether there is IPv6; in the namespace that leads nowhere.
    """
    bundle, run, out = tmp_path / "bundle", tmp_path / "run", tmp_path / "adapter"
    export = cli("export", "--model=roberta-micro", "--task=sst2", "--tune=lora", "--base=int8",
                 "--lengths=32", f"--out={bundle}")  # fmt: skip
    replay = cli("replay", f"--bundle={bundle}", f"--run={run}", f"--out={out}")

    outcomes = [disconnected(*watching(export, (UNIX, INTERNET6)))]
    outcomes += [watched(*inner) for inner in commands_of(bundle, DATA, run)]
    outcomes += [disconnected(*watching(replay, (UNIX, INTERNET6)))]

    assert [done.returncode for done in outcomes] == [0] * 5, [done.stderr for done in outcomes]
    assert (bundle / "packed-weights").exists() and out.exists()
