"""Steps done again without data, in NumPy: each tile of values through all steps, in the cache.

A noise pass of the graph reads and writes all of θ, and memory is what it waits for. But no value
needs another: here a tile is taken out, moved by every step and put back, to the bit what the graph
makes of it (integer operations, IEEE products and sums). Only `gaussian` has logarithms, which
differ in the last digits, and goes through the graph.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Event

import numpy as np

from .. import noise
from ..bundle.manifest import read_noise
from ..engine.model import Model
from ..optim.applied import Applied, Perturbable, apply_step

TILE_VALUES = 1 << 17  # three arrays of 0.5 MB: half of it takes 1.4 times as long, double 1.2
STEPS_AT_ONCE = 16  # whose hashes are computed together
FEW_STEPS = 4  # up to so many, the graph is faster than a round trip of all values
MOST_STEPS = 10_000  # at once: decoded, with what is asked of a tile, a step takes 1 kB
# The interpreters' kernels take values below 1e-38 for 0, NumPy does not: with scales of this size
# neither meets any.
MIN_SCALE = 1e-20

Take = Callable[[Perturbable, Applied], None]


def replay(
    model: Model,
    steps: Sequence[Applied],
    progress: Callable[[int], None] = lambda steps: None,
    take: Take = apply_step,
) -> None:
    """Does steps again on a model, in order.

    Interrupted, the model's parameters are those of no step.

    Args:
      model: its parameters as they were before them.
      steps: to do.
      progress: told how many steps more are done, all values together.
      take: does a step; `undo_step` takes one back.
    """
    has_table = "offset" in model.bundle.noise
    for start in range(0, len(steps), MOST_STEPS):
        stretch = list(steps[start : start + MOST_STEPS])
        moves = _Moves()
        for step in stretch:
            take(moves, step)
        if has_table and len(stretch) > FEW_STEPS and not moves.any_tiny:
            _apply(model, moves.moves, _in_steps(model, len(stretch), progress))
            continue
        for step in stretch:
            take(model, step)
            progress(1)


@dataclass
class _Move:
    """Passes of one seed, in turn: (scale, decay, scale of what decays)."""

    seed: int
    passes: list[tuple[np.float32, np.float32, np.float32]] = field(default_factory=list)


class _Moves:
    """Perturbable: notes passes, in order, for `_move_tile`."""

    def __init__(self):
        self.moves: list[_Move] = []
        self.any_tiny = False

    def perturb(self, seed: int, scale: float, decay: float = 0.0, probe: float = 0.0) -> None:
        """Notes a pass; z is drawn once for neighbours of one seed."""
        if not self.moves or self.moves[-1].seed != seed:
            self.moves.append(_Move(seed))
        with np.errstate(over="ignore"):  # of a decay taken back
            decaying = noise.scale_of_decaying(scale, decay, probe)
            values = np.float32(scale), np.float32(decay), decaying
        self.moves[-1].passes.append(values)
        if any(0 < abs(value) < MIN_SCALE for value in values):
            self.any_tiny = True


@dataclass(frozen=True)
class _Piece:
    """Whole blocks of one variable.

    Attributes:
      values: a view of them, flat.
      first: their first block's number in the variable.
      count: of blocks; the last may be cut short.
      stream: the variable's.
      decays: whether weight decay applies.
    """

    values: np.ndarray
    first: int
    count: int
    stream: int
    decays: bool


def _apply(model, moves, done):
    source = read_noise(model.bundle)
    assert source.table is not None
    columns = source.table.shape[1]
    decaying = {v.name for p in model.bundle.parameters if p.decays for v in p.variables}
    streams = {v.name: v.stream for v in model.bundle.variables}
    stopped = Event()
    move = partial(_move_tile, source, moves, stopped)

    with ThreadPoolExecutor(model.engine.threads) as pool:

        def change(variables):
            pieces = _pieces(variables, streams, decaying, columns)
            for count in pool.map(move, _tiles(pieces, TILE_VALUES // columns)):
                done(count)

        try:
            model.rewrite(change)
        finally:
            stopped.set()


def _pieces(
    values: Mapping[str, np.ndarray], streams: dict, decaying: set, columns: int
) -> Iterator[_Piece]:
    """Cuts variables into pieces of at most a tile."""
    most = max(1, TILE_VALUES // columns) * columns
    for name, array in values.items():
        flat = array.reshape(-1)
        assert np.shares_memory(flat, array), f"{name}: not in one piece"
        for start in range(0, flat.size, most):
            part = flat[start : start + most]
            count = -(-part.size // columns)
            yield _Piece(part, start // columns, count, streams[name], name in decaying)


def _tiles(pieces: Iterator[_Piece], most_blocks: int) -> Iterator[list[_Piece]]:
    """Puts neighbouring pieces together for as long as they are a tile at most."""
    tile, blocks = [], 0
    for piece in pieces:
        if tile and blocks + piece.count > most_blocks:
            yield tile
            tile, blocks = [], 0
        tile.append(piece)
        blocks += piece.count
    if tile:
        yield tile


def _move_tile(source, moves, stopped, tile):
    """Moves the values of a tile, in place; returns their number."""
    counts = [piece.count for piece in tile]
    ends = np.cumsum(counts)
    columns = source.table.shape[1]
    theta = np.zeros((ends[-1], columns), np.float32)
    places = [theta[end - count : end].reshape(-1) for end, count in zip(ends, counts)]
    for place, piece in zip(places, tile):
        place[: piece.values.size] = piece.values
    salts = np.repeat(noise.stream_salts(np.array([piece.stream for piece in tile])), counts)
    hashed = np.concatenate([noise.counters(p.first + p.count, p.first) for p in tile])
    decaying = [slice(end - count, end) for p, end, count in zip(tile, ends, counts) if p.decays]
    z, moved = np.empty_like(theta), np.empty_like(theta)
    with np.errstate(all="ignore"):  # as in the graph; a loss that is not finite says so
        for start in range(0, len(moves), STEPS_AT_ONCE):
            if stopped.is_set():
                break
            together = moves[start : start + STEPS_AT_ONCE]
            seeds = noise.seed_words(np.array([move.seed for move in together]))
            keys = noise.mix(seeds[:, None] ^ salts)
            rows = noise.table_rows(source, hashed, keys).astype(np.intp)
            for move, row in zip(together, rows):
                np.take(source.table, row, axis=0, out=z, mode="clip")  # "raise" would buffer
                for scale, decay, scale_of_decaying in move.passes:
                    np.multiply(z, scale, out=moved)
                    for blocks in decaying if decay else ():
                        np.multiply(z[blocks], scale_of_decaying, out=moved[blocks])
                        moved[blocks] -= theta[blocks] * decay
                    np.add(theta, moved, out=theta)
    for place, piece in zip(places, tile):
        piece.values[:] = place[: piece.values.size]
    return sum(piece.values.size for piece in tile)


def _in_steps(model, steps, progress):
    """Returns a function of further values done that calls `progress` with the steps it makes."""
    total = sum(int(np.prod(variable.shape)) for variable in model.bundle.variables)
    values = reported = 0

    def done(more):
        nonlocal values, reported
        values += more
        reached = steps * values // total
        if reached > reported:
            progress(reached - reported)
            reported = reached

    return done
