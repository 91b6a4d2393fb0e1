"""When training waits: for a cooler, fuller or charging battery."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from . import signals
from .power import DeviceState, is_android, read_device_state

SAMPLE_SECONDS = 10.0
# What must come before it goes on: not to start and stop with every step.
COOLER_CELSIUS, FULLER_PERCENT = 1.0, 2


@dataclass(frozen=True)
class Limits:
    """What a run waits for.

    Attributes:
      max_temp: of the battery, in degrees Celsius; None: any.
      min_battery: in percent; 0: any.
      only_charging: whether it waits for a charger.
    """

    max_temp: float | None = None
    min_battery: int = 0
    only_charging: bool = False

    def reason(self, state: DeviceState, margin: bool = False) -> str:
        """Returns why to wait, or nothing; with `margin`, for one that waits already."""
        if self.max_temp is not None and state.battery_celsius is not None:
            limit = self.max_temp - COOLER_CELSIUS * margin
            if state.battery_celsius > limit:
                return f"battery at {state.battery_celsius:.1f} °C, --max_temp={self.max_temp:g}"
        if state.battery_percent is not None:
            limit = min(self.min_battery + FULLER_PERCENT * margin, 100) if self.min_battery else 0
            if state.battery_percent < limit:
                return f"battery at {state.battery_percent}%, --min_battery={self.min_battery}"
        if self.only_charging and not state.charging:
            return "the battery is not charging, --only_charging"
        return ""


class Pauses:
    """Called before a step: waits while it must; returns what was measured, for the step's line."""

    def __init__(
        self,
        limits: Limits,
        read: Callable[[], DeviceState] = read_device_state,
        sample_seconds: float = SAMPLE_SECONDS,
    ):
        """Reads the device first.

        Raises:
          InputError: it does not say what a limit is about.
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
        """Returns the fields, none where they were read a moment ago; `say` is told of a pause."""
        if time.monotonic() < self._next:
            return {}
        state, waited_since = self._read(), time.monotonic()
        if reason := self._limits.reason(state):
            say(f"paused: {reason}")
            while self._limits.reason(state, margin=True):
                end = time.monotonic() + self._sample_seconds
                while time.monotonic() < end:
                    signals.check()
                    time.sleep(min(0.1, self._sample_seconds))
                state = self._read()
            say(f"going on after {time.monotonic() - waited_since:.0f} s")
        self._next = time.monotonic() + self._sample_seconds
        return state.known()


def pauses_of(limits: Limits) -> Callable[[Callable[[str], None]], dict]:
    """Returns Pauses on a phone, or with limits; else what never waits and measures nothing."""
    if limits == Limits() and not is_android():
        return lambda say: {}
    return Pauses(limits)
