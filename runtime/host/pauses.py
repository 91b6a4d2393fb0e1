"""Pauses of training: until the battery is cooler, fuller or charging, and says so.

They fail closed: while a phone does not tell what a limit is about, training waits. A device that
has never told it and is no phone is refused instead.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import InputError
from . import signals
from .power import DeviceState, is_android, read_device_state

SAMPLE_SECONDS = 10.0
# Hysteresis: a paused run resumes this much below --max_temp and above --min_battery.
COOLER_CELSIUS, FULLER_PERCENT = 1.0, 2


@dataclass(frozen=True)
class Reason:
    """Why training waits: the flag, whether it is for want of a figure, and the words."""

    flag: str
    is_unknown: bool
    text: str


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

    def reason(self, state: DeviceState, resuming: bool = False) -> Reason | None:
        """Returns the reason to pause, or None; `resuming` applies the hysteresis."""
        return next(self.reasons(state, resuming), None)

    def reasons(self, state: DeviceState, resuming: bool = False) -> Iterator[Reason]:
        """Yields all reasons to pause, as `reason` does the first."""
        if self.max_temp is not None:
            limit, celsius = self.max_temp - COOLER_CELSIUS * resuming, state.battery_celsius
            if celsius is None:
                yield _unknown("max_temp", "its battery's temperature")
            elif celsius > limit:
                text = f"battery at {celsius:.1f} °C, --max_temp={self.max_temp:g}"
                yield Reason("max_temp", False, text)
        if self.min_battery:
            limit, percent = self.min_battery + FULLER_PERCENT * resuming, state.battery_percent
            if percent is None:
                yield _unknown("min_battery", "its battery's charge")
            elif percent < min(limit, 100):
                text = f"battery at {percent}%, --min_battery={self.min_battery}"
                yield Reason("min_battery", False, text)
        if self.only_charging:
            if state.charging is None:
                yield _unknown("only_charging", "whether it charges")
            elif not state.charging:
                text = "the battery is not charging, --only_charging"
                yield Reason("only_charging", False, text)


def _unknown(flag, what):
    return Reason(flag, True, f"--{flag}: this device does not tell {what}")


class Pauses:
    """Called before a step or evaluation: waits while a limit is exceeded; returns measurements."""

    def __init__(
        self,
        limits: Limits,
        read: Callable[[], DeviceState] = read_device_state,
        sample_seconds: float = SAMPLE_SECONDS,
    ):
        """Reads the device's state once, unless it is a phone.

        Args:
          limits: conditions of training.
          read: reads the device's state.
          sample_seconds: how often it is read.

        Raises:
          InputError: the device is no phone, and does not report what a limit is about.
        """
        self._limits, self._read = limits, read
        self._sample_seconds, self._next = sample_seconds, 0.0
        if is_android():  # tells it, as a rule: the first step waits if it does not
            return
        for reason in limits.reasons(read()):
            if reason.is_unknown:
                raise InputError(f"{reason.text}; leave the flag out")

    def __call__(self, say: Callable[[str], None]) -> dict:
        """Waits, and returns the measured fields for a step's line; none between two samples.

        Args:
          say: prints a line, when a pause begins, ends or has another reason.
        """
        if time.monotonic() < self._next:
            return {}
        state, waited_since = self._read(), time.monotonic()
        if reason := self._limits.reason(state):
            last, is_exceeded = None, False
            while reason:
                is_exceeded = is_exceeded or not reason.is_unknown
                if last is None or (reason.flag, reason.is_unknown) != (last.flag, last.is_unknown):
                    say(f"paused: {reason.text}{'; waiting until it does' * reason.is_unknown}")
                    last = reason
                self._wait()
                state = self._read()
                reason = self._limits.reason(state, resuming=is_exceeded)
            say(f"going on after {time.monotonic() - waited_since:.0f} s")
        self._next = time.monotonic() + self._sample_seconds
        return state.known()

    def _wait(self):
        end = time.monotonic() + self._sample_seconds
        while time.monotonic() < end:
            signals.check()
            time.sleep(min(0.1, self._sample_seconds))


def pauses_of(limits: Limits) -> Callable[[Callable[[str], None]], dict]:
    """Returns Pauses on a phone or with limits; else a function that neither waits nor measures."""
    if limits.max_temp is not None and not math.isfinite(limits.max_temp):
        raise InputError(f"--max_temp={limits.max_temp}: expected degrees Celsius, such as 40")
    if limits == Limits() and not is_android():
        return lambda say: {}
    return Pauses(limits)
