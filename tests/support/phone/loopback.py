"""The loopback device: adbd.py under Android's folders, and Debian's adb client connected to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import phone
from waiting import wait_until

HERE = Path(__file__).parent
SECONDS = 30.0  # that anything here may take
PROPERTIES = {
    "ro.product.model": "Loopback",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
}


@dataclass(frozen=True)
class Loopback:
    """A device that the environment's adb server knows, or does not (`unplug`).

    Attributes:
      control: adbd.py's folder.
      serial: as adb calls it.
      environment: of programs that should see it, and no other.
    """

    control: Path
    serial: str
    environment: dict

    def adb(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs the client."""
        return subprocess.run(
            ["adb", *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=os.environ | self.environment,
        )

    def sh(self, script: str) -> str:
        """Runs a script on the device; returns what it printed."""
        return self.adb("-s", self.serial, "shell", script).stdout

    def settings(self, **changes) -> None:
        """Changes what the device says of itself from the next connection on."""
        path = self.control / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def properties(self, **changes) -> None:
        """Sets Android properties; `_` stands for a dot."""
        properties = PROPERTIES | {name.replace("_", "."): value for name, value in changes.items()}
        lines = (f"{name}={value}\n" for name, value in properties.items())
        (self.control / "properties").write_text("".join(lines))

    def unplug(self) -> None:
        """Cuts the cable; returns when adb knows. What runs on the device does not notice."""
        (self.control / "unplugged").touch()
        wait_until(lambda: not self._is_listed("device"), "adb knows it no longer", SECONDS)

    def unplug_after(self, received: int) -> None:
        """Cuts the cable when so many bytes more have come."""
        (self.control / "unplug_after").write_text(str(received))

    def plug_in(self) -> None:
        """Undoes `unplug`; returns when adb knows the device again."""
        (self.control / "unplugged").unlink(missing_ok=True)
        self.connect()

    def connect(self, state: str = "device") -> None:
        """Connects, until adb lists the device in this state."""
        self.adb("disconnect", self.serial)

        def is_connected():
            self.adb("connect", self.serial)
            return self._is_listed(state)

        wait_until(is_connected, f"adb lists {self.serial} as {state}", SECONDS)

    def received(self) -> int:
        """Returns how many bytes the device has received."""
        return int((self.control / "received").read_text())

    def _is_listed(self, state):
        return f"{self.serial}\t{state}" in self.adb("devices").stdout


@contextmanager
def loopback(folder: Path, data_size: str = "400m", features: str = "shell_v2,cmd") -> Iterator:
    """Starts a device and an adb server of its own; skips the test where that cannot be done.

    Args:
      folder: for its files; made.
      data_size: of the device's /data.
      features: that its adbd announces; without shell_v2 it is an old one.
    """
    phone.need_tools("adb", "qemu-aarch64-static", "mksh", "toybox")
    control = folder / "control"
    (folder / "user").mkdir(parents=True)
    control.mkdir()
    settings = {"features": features, "properties": {"ro.product.model": "Loopback"}}
    (control / "settings.json").write_text(json.dumps(settings | {"authorized": True}))
    environment = {
        "ANDROID_ADB_SERVER_PORT": str(_free_port()),
        "HOME": str(folder / "user"),  # its keys
    }
    with open(folder / "adbd.log", "w") as log:
        device = subprocess.Popen(
            phone.on_phone(sys.executable, HERE / "adbd.py", control, data_size=data_size),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_android(control),
        )
    try:
        serial = f"127.0.0.1:{_port(control, device)}"
        loopback_device = Loopback(control, serial, environment)
        loopback_device.properties()
        try:
            loopback_device.connect()
            yield loopback_device
        finally:
            loopback_device.adb("kill-server")
    finally:
        device.kill()
        device.wait()


def _android(control):
    kept = {name: os.environ[name] for name in ("TMPDIR", "LANG") if name in os.environ}
    return kept | {
        "PATH": f"/system/bin:{os.environ['PATH']}",
        "PHONE_CONTROL": str(control),
        "POCKETLLM_EMULATOR": phone.EMULATOR,
    }


def _port(control, device):
    """Returns the port that the device listens at, as soon as it does."""
    path = control / "port"
    wait_until(lambda: path.exists() or device.poll() is not None, "the device's port", SECONDS)
    if not path.exists():
        raise RuntimeError(f"no device: {(control.parent / 'adbd.log').read_text()}")
    return path.read_text()


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
