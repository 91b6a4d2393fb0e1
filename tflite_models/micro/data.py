"""Splits SST-2 for the micro models: the rows of each stage, and the excerpts for MeZO."""

import pathlib
from typing import NamedTuple

import numpy as np

HEADER = "sentence\tlabel\n"


class Row(NamedTuple):
    """A sentence as in the file, with its trailing space, and its label (1: positive)."""

    sentence: str
    label: int


class Split(NamedTuple):
    """The rows of each use.

    Attributes:
      text: rows of stage 1, whose labels are not used.
      prompt: rows of stage 2, half of `text`.
      train, dev: the excerpts for MeZO, from the other half.
      heldout: SST-2's test rows.
    """

    text: list[Row]
    prompt: list[Row]
    train: list[Row]
    dev: list[Row]
    heldout: list[Row]


def read_rows(path: pathlib.Path) -> list[Row]:
    """Reads a TSV file; raises ValueError unless its header is `sentence<TAB>label`."""
    header, *lines = path.read_bytes().decode().splitlines(keepends=True)
    if header != HEADER:
        raise ValueError(f"{path}: header {header!r}; expected {HEADER!r}")
    pairs = (line.rstrip("\n").split("\t") for line in lines)
    return [Row(sentence, int(label)) for sentence, label in pairs]


def format_rows(rows: list[Row]) -> bytes:
    """Returns the bytes of a TSV file that `read_rows` reads."""
    return (HEADER + "".join(f"{row.sentence}\t{row.label}\n" for row in rows)).encode()


def split_rows(
    folder: pathlib.Path, seed: int, sizes: tuple[int, int], words: tuple[int, int]
) -> Split:
    """Splits the rows of SST-2.

    Args:
      folder: folder with train.tsv and test.tsv.
      seed: random seed of the shuffle that halves train.tsv.
      sizes: rows of the train and the dev excerpt; half of each have either label.
      words: fewest and most words of a sentence in an excerpt.

    Raises:
      ValueError: a file has another header, or too few rows for the excerpts.
    """
    heldout = read_rows(folder / "test.tsv")
    tested = {normalized(row) for row in heldout}
    pool = [row for row in read_rows(folder / "train.tsv") if normalized(row) not in tested]
    order = np.random.default_rng(seed).permutation(len(pool))
    prompt = [pool[i] for i in order[: len(pool) // 2]]
    unseen = [pool[i] for i in order[len(pool) // 2 :]]
    excerpt = balanced_excerpt(unseen, {normalized(row) for row in prompt}, sum(sizes), words)
    return Split(pool, prompt, excerpt[: sizes[0]], excerpt[sizes[0] :], heldout)


def balanced_excerpt(
    rows: list[Row], excluded: set[str], size: int, words: tuple[int, int]
) -> list[Row]:
    """Returns the first rows of allowed length with labels 0, 1, 0, 1, …, no sentence twice.

    Args:
      rows: rows to choose from, in order.
      excluded: sentences not to choose, from `normalized`.
      size: number of rows.
      words: fewest and most words of a sentence.

    Raises:
      ValueError: fewer than size / 2 rows of a label can be chosen.
    """
    queues: tuple[list[Row], list[Row]] = ([], [])
    excluded = set(excluded)
    for row in rows:
        if words[0] <= len(row.sentence.split()) <= words[1] and normalized(row) not in excluded:
            excluded.add(normalized(row))
            queues[row.label].append(row)
    fewest = min(map(len, queues))
    if fewest < size // 2:
        raise ValueError(f"{fewest} rows of one label with {words} words; expected {size // 2}")
    return [row for pair in zip(*queues) for row in pair][:size]


def normalized(row: Row) -> str:
    """Returns the sentence without outer spaces and in lower case: equal rows have the same."""
    return row.sentence.strip().lower()
