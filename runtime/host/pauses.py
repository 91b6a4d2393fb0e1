"""Pauses of training: until the battery is cooler, fuller or charging."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from . import signals
from .power import DeviceState, is_android, read_device_state

SAMPLE_SECONDS = 10.0
# Hysteresis: a paused run resumes this much below --max_temp and above --min_battery.
COOLER_CELSIUS, FULLER_PERCENT = 1.0, 2


@dataclass(frozen=True)
class Limits:
    """Conditions of training on a battery.

    Attributes:
      max_temp: highest temperature of the battery, in degrees Celsius; None: no limit.
      min_battery: lowest charge, in percent; 0: no limit.
      only_charging: whether a charger is needed.
    """

    max_temp: float | None = None
    min_battery: int = 0
    only_charging: bool = False

    def reason(self, state: DeviceState, resuming: bool = False) -> str:
        """Returns the reason to pause, or ""; `resuming` applies the hysteresis."""
        if self.max_temp is not None and state.battery_celsius is not None:
            limit = self.max_temp - COOLER_CELSIUS * resuming
            if state.battery_celsius > limit:
                return f"battery at {state.battery_celsius:.1f} °C, --max_temp={self.max_temp:g}"
        if state.battery_percent is not None:
            resumes_at = self.min_battery + FULLER_PERCENT * resuming
            limit = min(resumes_at, 100) if self.min_battery else 0
            if state.battery_percent < limit:
                return f"battery at {state.battery_percent}%, --min_battery={self.min_battery}"
        if self.only_charging and not state.charging:
            return "the battery is not charging, --only_charging"
        return ""


class Pauses:
    """Called before a step: waits as long as a limit is exceeded; returns what it measured."""

    def __init__(
        self,
        limits: Limits,
        read: Callable[[], DeviceState] = read_device_state,
        sample_seconds: float = SAMPLE_SECONDS,
    ):
        """Reads the device's state once.

        Args:
          limits: conditions of training.
          read: reads the device's state.
          sample_seconds: how often it is read.

        Raises:
          InputError: the device does not report what a limit is about.
        """
        self._limits, self._read = limits, read
        self._sample_seconds, self._next = sample_seconds, 0.0
        state, needs = read(), []
        if limits.max_temp is not None and state.battery_celsius is None:
            needs.append("--max_temp: this device does not tell its battery's temperature")
        if limits.min_battery and state.battery_percent is None:
            needs.append("--min_battery: this device does not tell its battery's charge")
        if limits.only_charging and state.charging is None:
            needs.append("--only_charging: this device does not tell whether it charges")
        if needs:
            raise InputError(f"{needs[0]}; leave the flag out")

    def __call__(self, say: Callable[[str], None]) -> dict:
        """Waits, and returns the measured fields for the step's line; none between two samples.

        Args:
          say: prints a line, when a pause begins and ends.
        """
        if time.monotonic() < self._next:
            return {}
        state, waited_since = self._read(), time.monotonic()
        if reason := self._limits.reason(state):
            say(f"paused: {reason}")
            while self._limits.reason(state, resuming=True):
                end = time.monotonic() + self._sample_seconds
                while time.monotonic() < end:
                    signals.check()
                    time.sleep(min(0.1, self._sample_seconds))
                state = self._read()
            say(f"going on after {time.monotonic() - waited_since:.0f} s")
        self._next = time.monotonic() + self._sample_seconds
        return state.known()


def pauses_of(limits: Limits) -> Callable[[Callable[[str], None]], dict]:
    """Returns Pauses on a phone or with limits; else a function that neither waits nor measures."""
    if limits == Limits() and not is_android():
        return lambda say: {}
    return Pauses(limits)
