"""State of a phone: battery, heat, clock rates, and this process's share of its memory.

Read from /sys where that is allowed, else from Android's dumpsys.
"""

import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

SYS, DUMPSYS = Path("/sys"), "/system/bin/dumpsys"
SMAPS = Path("/proc/self/smaps_rollup")
DUMPSYS_SECONDS = 10.0  # timeout of one call
CHARGING = ("Charging", "Full")
DUMPED_CHARGING = (2, 5)  # BatteryManager.BATTERY_STATUS_CHARGING and _FULL


@dataclass(frozen=True)
class DeviceState:
    """What the device reports; None for what it does not.

    Attributes:
      battery_percent: charge.
      battery_celsius: the battery's temperature.
      charging: whether the battery charges, or is full.
      thermal_status: Android's level, 0 (none) to 6 (shutdown).
      cpu_mhz: the highest clock rate of a core at present.
      pss_bytes: this process's proportional share of resident pages.
    """

    battery_percent: int | None = None
    battery_celsius: float | None = None
    charging: bool | None = None
    thermal_status: int | None = None
    cpu_mhz: int | None = None
    pss_bytes: int | None = None

    def known(self) -> dict:
        """Returns the fields that are known, for a line of metrics."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def is_android() -> bool:
    """Whether this is a phone."""
    return Path(DUMPSYS).exists()


def read_device_state(sys: Path = SYS) -> DeviceState:
    """Reads the state; `sys` is the folder /sys, or a copy for tests."""
    battery = _battery_of_sys(sys) or _battery_of_dumpsys(_dumpsys("battery"))
    status = re.search(r"^Thermal Status: (\d+)", _dumpsys("thermalservice"), re.M)
    return DeviceState(
        **battery,
        thermal_status=int(status[1]) if status else None,
        cpu_mhz=_cpu_mhz(sys),
        pss_bytes=_pss_bytes(),
    )


def _battery_of_sys(sys):
    """Returns battery_percent, battery_celsius and charging, or nothing."""
    for folder in sorted(sys.glob("class/power_supply/*")):
        percent = _number(folder / "capacity")
        if _text(folder / "type") != "Battery" or percent is None:
            continue
        tenths = _number(folder / "temp")
        status = _text(folder / "status")
        return {
            "battery_percent": percent,
            "battery_celsius": None if tenths is None else tenths / 10,
            "charging": status in CHARGING if status else None,
        }
    return {}


def _battery_of_dumpsys(text):
    entries = {name: int(value) for name, value in re.findall(r"^ +(\w+): (-?\d+)$", text, re.M)}
    if "level" not in entries:
        return {}
    return {
        "battery_percent": entries["level"] * 100 // (entries.get("scale") or 100),
        "battery_celsius": entries["temperature"] / 10 if "temperature" in entries else None,
        "charging": entries["status"] in DUMPED_CHARGING if "status" in entries else None,
    }


def _dumpsys(service):
    if not is_android():
        return ""
    try:
        done = subprocess.run(
            [DUMPSYS, service],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DUMPSYS_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _cpu_mhz(sys):
    rates = [_number(path) for path in sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")]
    known = [rate for rate in rates if rate is not None]
    return max(known) // 1000 if known else None


def _pss_bytes():
    pss = re.search(r"^Pss: +(\d+) kB", _text(SMAPS), re.M)
    return int(pss[1]) * 1024 if pss else None


def _text(path):
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path):
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None
