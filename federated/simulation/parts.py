"""A data file in parts for many clients: their labels differ as a Dirichlet draw makes them."""

import gzip
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketllm.runtime.data.dataset import data_file
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_bytes
from pocketllm.runtime.tasks.codec import Task

LINE_FORMATS = {".tsv": True, ".txt": True, ".jsonl": False, ".ndjson": False}  # has a header


def drawn_parts(labels: Sequence[int], count: int, alpha: float, seed: int) -> list[list[int]]:
    """Draws parts of equal size: each client's labels follow a Dirichlet draw of its own.

    Once a label has run out, the rest of a part comes from the others, so the last clients' draws
    are followed less closely. What is left over by the division belongs to nobody.

    Args:
      labels: of all examples.
      count: of clients.
      alpha: of the Dirichlet distribution, times the share of each label: small ones give clients
        of one label, infinity gives all clients the same shares.
      seed: of the draw.

    Returns:
      positions in `labels` of each client, in order.

    Raises:
      InputError: fewer examples than clients.
    """
    size = len(labels) // count
    if not size:
        raise InputError(f"{len(labels)} examples for {count} clients; take fewer clients")
    rng = np.random.default_rng(seed)
    kinds, numbers = np.unique(np.asarray(labels), return_counts=True)
    piles = [rng.permutation(np.flatnonzero(np.asarray(labels) == kind)).tolist() for kind in kinds]
    parts = []
    for _ in range(count):
        shares = _shares(numbers / len(labels), alpha, rng)
        parts.append(sorted(_draw(piles, shares, size, rng)))
    return parts


def _shares(whole, alpha, rng):
    """Returns a client's share of each label."""
    if math.isinf(alpha):
        return whole
    shares = rng.dirichlet(alpha * whole)
    return shares if np.isfinite(shares).all() else whole  # of an alpha near 0


def _draw(piles, shares, size, rng) -> list[int]:
    """Takes a part's examples off the piles."""
    wanted = np.floor(shares * size).astype(int)
    order = rng.permutation(len(piles))
    part: list[int] = []
    for kind in order:
        for _ in range(min(wanted[kind], len(piles[kind]))):
            part.append(piles[kind].pop())
    while len(part) < size:  # what rounding leaves, and what ran out
        left = np.array([bool(pile) for pile in piles])
        odds = np.where(left, shares + 1e-9, 0.0)
        part.append(piles[rng.choice(len(piles), p=odds / odds.sum())].pop())
    return part


def write_parts(path: Path, task: Task, parts: int, alpha: float, seed: int, *, out: Path) -> list:
    """Writes a data file's lines as parts, `part-001` and so on, with its header and extension.

    Args:
      path: the file, one example a line.
      task: says which labels it has.
      parts: their number.
      alpha, seed: of `drawn_parts`.
      out: folder to write to.

    Returns:
      for each part {label: number of its examples}, and its path.

    Raises:
      InputError: another format, or rows that are no lines.
    """
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in LINE_FORMATS:
        raise InputError(
            f"{path}: found the extension {suffix!r}, expected {', '.join(LINE_FORMATS)}, where a "
            "line is an example; convert the file"
        )
    examples = list(data_file(path, task).examples())
    labels = {e.line: getattr(e, "label", 0) for e in reversed(examples)}  # of a line's first
    numbers = sorted(labels)
    chosen = drawn_parts([labels[number] for number in numbers], parts, alpha, seed)
    lines = _lines(path)
    if numbers[-1] > len(lines):
        raise InputError(f"{path}: an example of several lines; write one a line")
    head = lines[:1] if LINE_FORMATS[suffix] and 1 not in labels else []
    written = []
    width = max(3, len(str(parts)))
    for number, places in enumerate(chosen, 1):
        rows = [lines[numbers[place] - 1] for place in places]
        target = out / f"part-{number:0{width}}{suffix}"
        write_bytes(target, b"".join(line.rstrip(b"\r\n") + b"\n" for line in head + rows))
        counts: dict[int, int] = {}
        for place in places:
            label = labels[numbers[place]]
            counts[label] = counts.get(label, 0) + 1
        written.append((target, counts))
    return written


def _lines(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).splitlines(True)
