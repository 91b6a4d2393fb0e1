"""The SST-2 rows of the micro models: which stage sees which, and the excerpts that MeZO uses."""

import pathlib
from typing import NamedTuple

import numpy as np

HEADER = "sentence\tlabel\n"


class Row(NamedTuple):
    """A sentence as the file has it, trailing space included, and its label (1 = positive)."""

    sentence: str
    label: int


class Split(NamedTuple):
    """The rows of each use; `train` and `dev` come from the half that prompt training never saw."""

    text: list[Row]
    prompt: list[Row]
    train: list[Row]
    dev: list[Row]
    heldout: list[Row]


def read_rows(path: pathlib.Path) -> list[Row]:
    """Reads a TSV file with the header `sentence<TAB>label`."""
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
    """Deals the rows of SST-2 to the stages.

    Args:
      folder: holds train.tsv and test.tsv.
      seed: of the shuffle that halves train.tsv.
      sizes: rows of the train and the dev excerpt; each has as many of either label.
      words: fewest and most words of a sentence in an excerpt.
    """
    heldout = read_rows(folder / "test.tsv")
    taken = {normalized(row) for row in heldout}
    pool = [row for row in read_rows(folder / "train.tsv") if normalized(row) not in taken]
    order = np.random.default_rng(seed).permutation(len(pool))
    prompt = [pool[i] for i in order[: len(pool) // 2]]
    unseen = [pool[i] for i in order[len(pool) // 2 :]]
    excerpt = balanced_excerpt(unseen, {normalized(row) for row in prompt}, sum(sizes), words)
    return Split(pool, prompt, excerpt[: sizes[0]], excerpt[sizes[0] :], heldout)


def balanced_excerpt(
    rows: list[Row], taken: set[str], size: int, words: tuple[int, int]
) -> list[Row]:
    """Picks the first rows of allowed length, labels in turn 0, 1, 0, 1, no sentence twice."""
    queues: tuple[list[Row], list[Row]] = ([], [])
    taken = set(taken)
    for row in rows:
        if words[0] <= len(row.sentence.split()) <= words[1] and normalized(row) not in taken:
            taken.add(normalized(row))
            queues[row.label].append(row)
    fewest = min(map(len, queues))
    if fewest < size // 2:
        raise ValueError(f"{fewest} rows of one label with {words} words; expected {size // 2}")
    return [row for pair in zip(*queues) for row in pair][:size]


def normalized(row: Row) -> str:
    """Returns the sentence in the form in which two rows count as equal."""
    return row.sentence.strip().lower()
