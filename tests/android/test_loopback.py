"""The loopback device does what a phone does, as Debian's adb client sees it."""

import os
import subprocess

import pytest
from loopback import loopback
from waiting import wait_until

pytestmark = pytest.mark.desktop  # the workstation's side
TMP = "/data/local/tmp"


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A device of 64 MB."""
    with loopback(tmp_path_factory.mktemp("loopback") / "device", data_size="64m") as new:
        yield new


@pytest.fixture(scope="module")
def old_device(tmp_path_factory):
    """The same without shell protocol v2."""
    with loopback(tmp_path_factory.mktemp("loopback") / "old", "64m", features="cmd") as old:
        yield old


def test_a_shell_of_version_2_keeps_exit_codes_and_the_two_outputs_apart(device):
    done = device.adb("shell", "echo out; echo err >&2; exit 7")

    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_a_shell_of_version_1_has_one_output_of_terminal_lines_and_no_exit_code(old_device):
    done = subprocess.run(
        ["adb", "shell", "echo out; echo err >&2; exit 7"],
        capture_output=True,
        env=os.environ | old_device.environment,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\r\nerr\r\n", b"")


def test_a_shell_of_version_1_is_a_terminal_and_takes_4096_bytes(old_device):
    listed = old_device.sh(f"cd {TMP}; touch 'a b' c; ls; [ -t 1 ] && echo terminal; rm 'a b' c")
    cut = old_device.adb("shell", f"true {'x' * 4096}; echo done")
    old_device.connect()

    assert listed.splitlines() == [r"a\ b  c", "terminal"]
    assert "done" not in cut.stdout


def test_the_shell_is_androids_and_finds_androids_tools_first(device):
    assert "MIRBSD" in device.sh("echo $KSH_VERSION")
    assert device.sh("command -v tar sha256sum setsid getprop").split() == [
        f"/system/bin/{name}" for name in ("tar", "sha256sum", "setsid", "getprop")
    ]
    assert device.sh("getprop ro.product.cpu.abilist") == "arm64-v8a,armeabi-v7a\n"


def test_files_and_folders_go_there_and_back_unchanged(device, tmp_path):
    data = bytes(range(256)) * 4000 + b"end"  # in several messages, the last one odd
    (tmp_path / "it's").mkdir()
    (tmp_path / "it's" / "a b.bin").write_bytes(data)
    before = device.received()

    assert device.adb("push", str(tmp_path / "it's"), f"{TMP}/x, y").returncode == 0
    assert device.received() - before > len(data)
    assert device.adb("pull", f"{TMP}/x, y", str(tmp_path / "back")).returncode == 0

    assert (tmp_path / "back" / "a b.bin").read_bytes() == data
    assert device.adb("pull", f"{TMP}/none", str(tmp_path)).returncode == 1


def test_a_full_device_refuses_and_keeps_no_part(device, tmp_path):
    (tmp_path / "large").write_bytes(bytes(70_000_000))

    done = device.adb("push", str(tmp_path / "large"), f"{TMP}/large")

    assert done.returncode == 1
    assert "No space left on device" in done.stdout + done.stderr
    assert "large" not in device.sh(f"ls {TMP}")


def test_what_was_detached_outlives_the_cable_and_the_rest_does_not(device):
    begin = f"until [ -e {TMP}/begin ]; do sleep 0.05; done"
    device.sh(f"setsid sh -c '{begin}; touch {TMP}/detached' >/dev/null 2>&1 </dev/null &")
    attached = subprocess.Popen(
        ["adb", "shell", f"echo $$; {begin}; touch {TMP}/attached"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | device.environment,
    )
    shell = int(attached.stdout.readline())

    device.unplug()
    attached.communicate(timeout=30)  # its exit code is 0: adb does not know better
    device.plug_in()
    wait_until(lambda: device.sh(f"kill -0 {shell} || echo ended"), "the attached shell's end")
    device.sh(f"touch {TMP}/begin")
    wait_until(lambda: device.sh(f"cd {TMP}; ls detached"), "what was detached")

    assert device.sh(f"cd {TMP}; ls -d detached attached 2>/dev/null") == "detached\n"


def test_an_unplugged_device_is_gone_and_comes_back(device):
    device.unplug()
    gone = device.adb("-s", device.serial, "shell", "echo here")
    device.plug_in()

    assert gone.returncode != 0 and "here" not in gone.stdout
    assert device.sh("echo here") == "here\n"


def test_a_device_that_has_not_agreed_is_unauthorized(device):
    device.settings(authorized=False)
    device.connect("unauthorized")
    refused = device.adb("shell", "echo here")
    device.settings(authorized=True)
    device.connect()

    assert refused.returncode != 0 and "unauthorized" in refused.stderr
    assert device.sh("echo here") == "here\n"
