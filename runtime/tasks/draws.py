"""The reference's random draws: rows to train on, to choose the best step by, to evaluate."""

import re

import numpy as np

from ..errors import InputError
from .codec import Task

REFERENCE = "reference"


def split_numbers(flag: str, task: Task) -> tuple[int, int]:
    """Returns (training, dev) examples of `--split`: the task's own, or the two numbers given."""
    if flag == REFERENCE and task.split:
        train, dev = task.split
        return train, dev
    if flag == REFERENCE:
        raise InputError(
            f"--split={flag}: the reference draws no such split of task {task.name}; give the "
            "numbers, for example --split=800/200"
        )
    numbers = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", flag)
    if not numbers:
        raise InputError(
            f"--split={flag}: expected {REFERENCE}, or training and dev examples as in "
            "--split=800/200"
        )
    return int(numbers[1]), int(numbers[2])


def drawn(count: int, most: int) -> list[int]:
    """Draws up to `most` of `count` places, in the reference's order.

    NumPy keeps the stream of RandomState as it is, for all versions to come.
    """
    return np.random.RandomState(0).permutation(count)[:most].tolist()


def split_places(count: int, train: int, dev: int) -> tuple[list[int], list[int]]:
    """Returns the places of (training, dev) examples among `count`.

    As in the reference, the dev part is the end of the draw: with fewer rows than train + dev, the
    training part is the smaller one.
    """
    places = drawn(count, train + dev)
    return places[:-dev], places[-dev:]
