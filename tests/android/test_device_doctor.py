"""`pocketllm device doctor`, and how every command says that there is no phone to talk to."""

import json
import socket
import threading

import pytest
from device_cases import device
from loopback import loopback
from small_runs import complaint

from pocketllm.android_harness.phone import adb as client
from pocketllm.android_harness.phone import devices, doctor

pytestmark = pytest.mark.desktop  # the workstation's side


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A device with nothing on it."""
    with loopback(tmp_path_factory.mktemp("doctor") / "device", data_size="64m") as new_phone:
        yield new_phone


def lines_of(done):
    """Returns {name of a check: its line}."""
    return {line[5:].partition(": ")[0]: line for line in done.stdout.splitlines()}


def test_a_good_phone_is_good(phone):
    done = device(phone, "doctor")
    phone.sh("true")

    lines = lines_of(done)
    assert lines["processor"] == "ok   processor: ABI arm64-v8a,armeabi-v7a"
    assert "Loopback, Android 14" in lines["system"]
    assert lines["clock"] == "ok   clock: right"
    assert lines["tools"] == "ok   tools: all there"
    assert lines["programs"].startswith("ok ")
    assert lines["image"].startswith("note image: not pushed yet")
    assert lines["storage"].startswith("BAD ") and "0.1 GB free" in lines["storage"]
    assert done.returncode == 1 and "not ready: storage;" in done.stderr


@pytest.mark.parametrize(
    ("properties", "name", "state"),
    [
        ({"ro_product_cpu_abilist": "armeabi-v7a"}, "processor", "expected arm64-v8a"),
        ({"ro_build_version_sdk": "24"}, "system", "API level 24"),
    ],
)
def test_a_phone_that_cannot_is_told_why(phone, properties, name, state):
    phone.properties(**properties)
    done = device(phone, "doctor")
    phone.properties()

    assert done.returncode == 1
    assert state in lines_of(done)[name] and lines_of(done)[name].startswith("BAD ")


def test_a_clock_in_the_past_is_said_and_does_no_harm(phone, tmp_path):
    (phone.control / "seconds").write_text("86400\n")  # 2 January 1970
    done = device(phone, "doctor")
    (phone.control / "seconds").unlink()

    assert lines_of(done)["clock"].startswith("note clock: ")
    assert "behind" in lines_of(done)["clock"]


def test_a_folder_that_cannot_be_written_is_one_finding_of_all(phone, tmp_path):
    # Root may write everywhere but in a folder of a file system that is read-only.
    phone.sh("mount -t tmpfs -o ro none /data/local/tmp")
    done = device(phone, "doctor", f"--json={tmp_path / 'j'}")
    phone.sh("umount /data/local/tmp")

    lines = lines_of(done)
    assert lines["folder"].startswith("BAD ") and "cannot be written" in lines["folder"]
    assert "adb's user must own it" in lines["folder"]
    assert lines["programs"].startswith("note programs: not tried")
    assert set(lines) == {f"device {phone.serial}", "adb", *doctor.CHECKS}
    assert done.returncode == 1 and "not ready: folder;" in done.stderr
    findings = json.loads((tmp_path / "j").read_text())["findings"]
    assert [finding["name"] for finding in findings] == list(lines)


@pytest.mark.parametrize("tool", ["getprop", "date", "df"])
def test_a_check_that_fails_stops_no_other(phone, tmp_path, tool):
    path = f"/system/bin/{tool}"
    phone.sh(f"mv {path} {path}.away; echo 'echo nonsense' > {path}; chmod 755 {path}")
    done = device(phone, "doctor")
    phone.sh(f"mv -f {path}.away {path}")

    lines = lines_of(done)
    assert set(doctor.CHECKS) < set(lines)
    checks = {"getprop": "processor", "date": "clock", "df": "storage"}
    assert lines[checks[tool]].startswith("BAD ") and "; " in lines[checks[tool]]
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_a_cable_that_is_pulled_meanwhile_is_said_of_every_check(phone, monkeypatch):
    def pulled(phone, lines):
        raise client.ConnectionLost("gone")

    monkeypatch.setattr(doctor, "shell", pulled)
    monkeypatch.setattr(doctor, "check_output", lambda phone, lines, trouble: pulled(phone, lines))

    findings = list(doctor.check_phone(client.Phone("adb", "A")))

    assert [finding.name for finding in findings] == list(doctor.CHECKS)
    assert {(f.good, f.state) for f in findings if f.name != "storage"} == {(False, "gone")}


@pytest.mark.parametrize(
    ("tools", "state"),
    [
        ({}, "note sleep: jobs wait while the phone sleeps"),
        ({"settings": "echo 3"}, "ok   sleep: the phone stays awake while it is plugged in"),
    ],
)
def test_the_doctor_says_whether_a_job_survives_sleep(phone, tools, state):
    for name, body in tools.items():
        phone.sh(f"echo '{body}' > /system/bin/{name}; chmod 755 /system/bin/{name}")
    done = device(phone, "doctor")
    phone.sh("rm -f /system/bin/settings")

    assert lines_of(done)["sleep"].startswith(state)
    assert tools or "svc power stayon true" in lines_of(done)["sleep"]


def test_several_devices_want_a_choice(phone, tmp_path):
    with loopback(tmp_path / "second", data_size="16m") as second:
        phone.adb("connect", second.serial)
        several = device(phone, "pull", "--run=r", f"--out={tmp_path / 'o'}")
        chosen = device(
            phone, "pull", "--run=r", f"--out={tmp_path / 'o'}", f"--serial={second.serial}"
        )
        checked = device(phone, "doctor")
        phone.adb("disconnect", second.serial)

    complaint(several, 2, "2 devices", phone.serial, second.serial, "--serial")
    complaint(chosen, 2, "no run on the phone")
    assert "several" in checked.stdout and "--serial" in checked.stdout


def test_an_unauthorised_device_is_told_how(phone):
    phone.settings(authorized=False)
    phone.connect("unauthorized")
    done = device(phone, "attach")
    checked = device(phone, "doctor")
    phone.settings(authorized=True)
    phone.connect()

    complaint(done, 1, "unauthorized", "allow USB debugging")
    assert "unauthorized; unlock the phone" in checked.stdout


def test_no_device_and_a_wrong_one_are_told_how(phone):
    wrong = device(phone, "attach", "--serial=R58M")
    phone.unplug()
    phone.adb("disconnect", phone.serial)
    none = device(phone, "attach")
    checked = device(phone, "doctor")
    phone.plug_in()

    complaint(wrong, 1, "no device R58M", phone.serial)
    complaint(none, 1, "no device", "USB debugging")
    assert "BAD  device: none" in checked.stdout


def test_without_adb_the_package_is_named(phone, tmp_path):
    (tmp_path / "bin").mkdir()
    for command in ("doctor", "attach"):
        done = device(phone, command, PATH=str(tmp_path / "bin"))

        complaint(done, 2, "adb: not found", "platform tools")
        assert command != "doctor" or done.stdout.startswith("BAD  adb: not found")


def test_another_versions_server_is_replaced_and_said(phone, tmp_path):
    """A server of adb 1.0.32, that ends when it is asked to, as they all do."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    answers = {b"host:version": b"OKAY0004" + b"0020", b"host:kill": b"OKAY"}

    def serve():
        while True:
            link, _ = listener.accept()
            request = link.recv(int(link.recv(4), 16))
            link.sendall(answers.get(request, b"FAIL0004none"))
            link.close()
            if request == b"host:kill":
                return listener.close()

    threading.Thread(target=serve, daemon=True).start()
    done = device(phone, "doctor", ANDROID_ADB_SERVER_PORT=str(port))
    ended = phone.adb("-P", str(port), "kill-server")

    line = lines_of(done)["adb server"]
    assert line.startswith("note ")
    assert "version 32 ran, this client is 41; it was replaced" in line
    assert ended.returncode == 0


def test_the_shells_exit_code_and_bytes_come_through_both_protocols(phone, tmp_path, monkeypatch):
    with loopback(tmp_path / "old", "16m", features="cmd") as old:
        for connected in (phone, old):
            monkeypatch.setenv("HOME", connected.environment["HOME"])
            port = connected.environment["ANDROID_ADB_SERVER_PORT"]
            monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
            there = devices.find_phone(connected.serial)

            answer = client.shell(there, "printf 'a\\n\\nb'; exit 5\n")
            nothing = client.shell(there, "exit 0")
            noisy = client.shell(there, "printf '\\377\\n'; echo err >&2")

            assert (answer.code, answer.output) == (5, "a\n\nb")
            assert (nothing.code, nothing.output) == (0, "")
            assert noisy.output.encode(errors="surrogateescape") == b"\xff\nerr\n"
