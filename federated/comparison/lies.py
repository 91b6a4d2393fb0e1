"""What lying clients say in place of their losses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..protocol import LOSSES, pack_answer, read_answer

EXAGGERATION = 10.0
LIARS_SHARE = 5  # one client of so many


def turned_around(losses: Sequence[float]) -> list[float]:
    """Returns losses whose slopes are -EXAGGERATION times the true ones."""
    pairs = zip(losses[::2], losses[1::2])
    lies = [((p + m) / 2, EXAGGERATION * (p - m) / 2) for p, m in pairs]
    return [loss for center, slope in lies for loss in (center - slope, center + slope)]


# name -> what a liar makes of the losses of MeZO's steps, two each
LIES: dict[str, Callable[[Sequence[float]], Sequence[float]]] = {
    "NaN": lambda losses: [math.nan] * len(losses),
    "1e30": lambda losses: [1e30, -1e30] * (len(losses) // 2),
    "-10 times the truth": turned_around,
}


def lying(name: str | None, liars: int) -> Callable[[int, bytes], bytes]:
    """Returns (client, its answer) -> what is sent, for `grid_of`.

    Args:
      name: of LIES; None: all say the truth.
      liars: clients up to this number lie.
    """
    if name is None:
        return lambda client, data: data
    lie = LIES[name]

    def altered(client, data):
        answer = read_answer(data)
        if client > liars or answer.kind != LOSSES:
            return data
        return pack_answer(replace(answer, losses=tuple(lie(answer.losses))))

    return altered
