"""Room on the phone: how much is free, and whether the phone is full."""

from pocketllm.runtime.errors import RunError

from .adb import MAKE_ROOM, NO_SPACE, ConnectionLost, Phone, check_output
from .paths import HOME, script

FULL_BYTES = 2_000_000  # with less, no step can count on writing its record


def free_bytes(phone: Phone) -> int:
    """Returns the free bytes of the file system that HOME is on, or will be on."""
    df = '{ df -k "$home" || df -k "${home%/*}"; } 2>/dev/null | tail -n 1'
    line = check_output(phone, script(df, home=HOME), HOME)
    fields = line.split()
    if len(fields) < 4 or not fields[-3].isdecimal():
        raise RunError(f"{HOME}: the phone does not tell its free space (df prints {line!r})")
    return int(fields[-3]) * 1024


def full_remedy(phone: Phone, reason: str = "") -> str:
    """Returns "; ", the fact and the remedy if the phone is full, else "".

    Args:
      phone: the phone.
      reason: words of its own; where they say that it is full the remedy is enough.
    """
    if NO_SPACE.search(reason):
        return f"; {MAKE_ROOM}"
    try:
        free = free_bytes(phone)
    except ConnectionLost:
        raise
    except RunError:
        return ""
    if free > FULL_BYTES:
        return ""
    return f"; the phone is full ({free / 1e6:.1f} MB free); {MAKE_ROOM}"
