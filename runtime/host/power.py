"""State of a phone: battery, heat, clock rates, and this process's share of its memory.

Each field is read from /sys where that is allowed, else from Android's dumpsys. A figure that no
battery can have is as good as none.
"""

import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SYS, DUMPSYS = Path("/sys"), "/system/bin/dumpsys"
SMAPS = Path("/proc/self/smaps_rollup")
DUMPSYS_SECONDS = 10.0  # timeout of one call
CHARGING = ("Charging", "Full")
UNKNOWN = "Unknown"
DUMPED_CHARGING = (2, 5)  # BatteryManager.BATTERY_STATUS_CHARGING and _FULL
DUMPED_UNKNOWN = 1  # BatteryManager.BATTERY_STATUS_UNKNOWN
BATTERY_FIELDS = ("battery_percent", "battery_celsius", "charging")
PERCENTS, CELSIUS = (0, 100), (-40, 120)  # that a battery can have


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
    battery = _battery_of_sys(sys)
    if len(battery) < len(BATTERY_FIELDS):
        battery = _battery_of_dumpsys(_dumpsys("battery")) | battery
    status = re.search(r"^Thermal Status: (\d+)", _dumpsys("thermalservice"), re.M)
    return DeviceState(
        **battery,
        thermal_status=int(status[1]) if status else None,
        cpu_mhz=_cpu_mhz(sys),
        pss_bytes=_pss_bytes(),
    )


def _battery_of_sys(sys):
    """Returns what the first battery tells of battery_percent, battery_celsius and charging."""
    for folder in sorted(sys.glob("class/power_supply/*")):
        # A battery of scope "Device" is a pen's or a headset's.
        if _text(folder / "type") != "Battery" or _text(folder / "scope") == "Device":
            continue
        status, tenths = _text(folder / "status"), _number(folder / "temp")
        charging = status in CHARGING if status and status != UNKNOWN else None
        return _battery(_number(folder / "capacity"), tenths, charging)
    return {}


def _battery_of_dumpsys(text):
    """Returns the same of `dumpsys battery`."""
    entries = {
        name: int(value) for name, value in re.findall(r"^ +(\w+): (-?[0-9]{1,18})$", text, re.M)
    }
    level, scale, status = (entries.get(name) for name in ("level", "scale", "status"))
    percent = None if level is None or scale == 0 else level * 100 // (scale or 100)
    charging = None if status in (None, DUMPED_UNKNOWN) else status in DUMPED_CHARGING
    return _battery(percent, entries.get("temperature"), charging)


def _battery(percent, tenths, charging) -> dict[str, Any]:
    """Returns those of the three fields that are known and possible."""
    celsius = None if tenths is None else tenths / 10
    fields = zip(BATTERY_FIELDS, (percent, celsius, charging), strict=True)
    bounds = {"battery_percent": PERCENTS, "battery_celsius": CELSIUS}
    return {
        name: value
        for name, value in fields
        if value is not None and (name not in bounds or _is_between(value, *bounds[name]))
    }


def _is_between(value, lowest, highest):
    return lowest <= value <= highest


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
    return "" if done.returncode else done.stdout


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
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
