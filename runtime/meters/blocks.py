"""The meters of one block of layers at a time: directions that are zero everywhere else.

`perturb_and_update` moves all parameters; so θ is written whole, with one block moved in NumPy.
That takes a copy of the trained parameters and is for the desktop.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..bundle.contents import Bundle, Variable
from ..data.batches import Batch
from ..engine.model import Model
from ..noise import Noise, direction, perturb
from .probes import Probes, probe_with
from .rows import row_losses, row_weights

LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")
EMBEDDINGS, OTHERS = "embeddings", "outside the layers"


@dataclass(frozen=True)
class Block:
    """Variables that are probed together.

    Attributes:
      name: "layer 3", "layers 4 to 7", EMBEDDINGS or OTHERS.
      variables: of these parameters.
    """

    name: str
    variables: tuple[Variable, ...]


def blocks_of(bundle: Bundle, layers: int = 1) -> list[Block]:
    """Returns the trained parameters by layer, the first number in a parameter's name.

    Those of no layer are embeddings, as their names say, or others.

    Args:
      bundle: whose parameters.
      layers: of a block.
    """
    members: dict[str, list[Variable]] = {}
    for parameter in bundle.parameters:
        name = _block_name(parameter.name, layers)
        members.setdefault(name, []).extend(parameter.variables)
    return [Block(name, tuple(variables)) for name, variables in members.items()]


def probe_blocks(
    model: Model,
    batches: Sequence[Batch],
    blocks: Sequence[Block],
    *,
    noise: Noise,
    seeds: Sequence[int],
    eps: float,
    progress: Callable[[int], None] = lambda passes: None,
) -> Iterator[Probes]:
    """Yields the probes of each block, in order; θ is what it was after the last one.

    Args:
      model: holds θ.
      batches: the rows.
      blocks: of the model's bundle.
      noise: the bundle's.
      seeds: of the directions, int32.
      eps: how far, in units of z.
      progress: told the forward passes done.
    """
    scoring, base = model.bundle.scoring, dict(model.read())

    def losses():
        values = row_losses(model, batches, scoring)
        progress(len(batches))
        return values

    weights = row_weights(batches, scoring)
    for block in blocks:

        def move(number, distance, variables=block.variables):
            moved = _moved(base, variables, noise, seeds[number], distance) if distance else {}
            model.write({**base, **moved})

        yield probe_with(
            losses,
            move,
            count=len(seeds),
            eps=eps,
            weights=weights,
        )


def _moved(
    base: Mapping[str, np.ndarray],
    variables: Sequence[Variable],
    noise: Noise,
    seed: int,
    distance: float,
) -> dict[str, np.ndarray]:
    """Returns a block's values at a place on a direction, with the roundings of the graph."""
    values = {}
    for variable in variables:
        theta = base[variable.name]
        z = direction(noise, seed, variable.stream, theta.size)
        values[variable.name] = perturb(theta, z, distance)
    return values


def _block_name(name, layers):
    if match := LAYER.search(name):
        first = int(match[1]) // layers * layers
        return f"layers {first} to {first + layers - 1}" if layers > 1 else f"layer {first}"
    return EMBEDDINGS if "embed" in name else OTHERS
