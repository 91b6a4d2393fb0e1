"""Measures gradient, noise and curvature of a bundle from forward passes: the meters.

Flags that are shared with the other benches are defined in command.py.
"""

import math
from collections.abc import Sequence

from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle, read_noise
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import direction_seeds, step_members, step_seed
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.meters.blocks import Block, blocks_of, probe_blocks
from pocketllm.runtime.meters.figures import LEAST_PROBES, Meters, meters_of
from pocketllm.runtime.meters.probes import probe

LEAST_ROWS = 8

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("train", None, "data to measure on (--meters)")
define.integer("probes", 64, "directions to measure along", LEAST_PROBES)
define.integer("rows", 64, "rows of --train to measure on", LEAST_ROWS)
define.float("eps", None, "size of the probe, in units of z; none: the bundle's", 1e-30, 1e30)
define.bool("blocks", True, "measure each block of layers too")
define.integer("layers", 1, "layers of a block", 1)

# What the table says of a bundle: a field of Meters, its name there, what it is.
SHOWN = (
    ("gradient_norm", "gradient norm"),
    ("noise_scale", "noise scale, rows"),
    ("trace", "trace of the curvature"),
    ("curvature_norm", "norm of the curvature"),
    ("one_sided_error", "one-sided error ratio"),
)


def run_meters(values) -> dict:
    """Measures, prints the tables and returns the command's result."""
    required(values, "bundle", "train")
    bundle = read_bundle(values.bundle)
    data = load_dataset(values.train, bundle, training=True)
    if len(data.examples) < values.rows:
        raise InputError(
            f"{values.train}: {len(data.examples)} examples, expected the {values.rows} that are "
            f"measured; give more, or a smaller --rows, {LEAST_ROWS} at least"
        )
    model = open_model(bundle, engine=values.engine, threads=values.threads or cores())
    model.initialize()
    eps = values.eps or bundle.default_eps
    members = step_members(len(data.examples), values.rows, values.seed, 1)
    batches = batches_of(data, bundle, members)
    seeds = direction_seeds(step_seed(values.seed, 0), values.probes)
    passes = len(batches) * (2 * len(seeds) + 1)
    blocks = blocks_of(bundle, values.layers) if values.blocks else []
    with Progress("measuring", passes * (1 + len(blocks)), "pass") as bar:
        how = {"seeds": seeds, "eps": eps, "progress": bar.advance}
        whole = meters_of(probe(model, batches, bundle.scoring, **how))
        model.initialize()
        probed = probe_blocks(model, batches, blocks, noise=read_noise(bundle), **how)
        parts = [meters_of(probes) for probes in probed]
    result = {
        "model": bundle.model_name,
        "tune": bundle.tune,
        "base": bundle.base,
        "data": str(values.train),
        "data_sha256": data.sha256,
        "noise": bundle.noise["kind"],
        "seed": values.seed,
        "engine": model.engine.describe(),
        "machine": describe_machine(PACKAGES),
        "forwards": passes * (1 + len(blocks)),
        **whole.summary(),
        "blocks": shares_of(blocks, parts),
    }
    print(meters_table(result), flush=True)
    return result


def shares_of(blocks: Sequence[Block], meters: Sequence[Meters]) -> list[dict]:
    """Returns the figures of each block.

    Returns:
      [{"name", "parameters": how many, "share": what a pass along the block alone gains, over the
      mean of the blocks; None where the blocks have no mean above 0, the figures of Meters}]
    """
    gains = [block.progress.value for block in meters]
    mean = sum(gains) / len(gains) if gains else 0.0
    return [
        {
            "name": block.name,
            "parameters": sum(math.prod(variable.shape) for variable in block.variables),
            "share": figures.progress.value / mean if mean > 0 else None,
            **figures.summary(),
        }
        for block, figures in zip(blocks, meters)
    ]


def meters_table(result: dict) -> str:
    """Returns the tables: the figures of the whole with their intervals, a line a block."""
    lines = [
        f"{result['model']}, {result['tune']} on {result['base']}: {result['probes']} directions, "
        f"eps {result['eps']:g}, {result['rows']} rows, loss {result['loss']:.4f}"
    ]
    lines += [f"  {name:<24}{_interval(result[field])}" for field, name in SHOWN]
    if result["blocks"]:
        heads = ("values", "gradient", "trace", "share", "share's interval")
        lines.append(
            "  block".ljust(26) + "".join(f"{head:>12}" for head in heads[:-1]) + "  " + heads[-1]
        )
    for block in result["blocks"]:
        lines.append(_block_line(block))
    return "\n".join(lines)


def _block_line(block):
    share, gain = block["share"], block["progress"]
    scale = share / gain["value"] if share and gain["value"] else None
    bounds = [
        None if scale is None or x is None else x * scale for x in (gain["low"], gain["high"])
    ]
    return (
        f"  {block['name']:<24}{block['parameters']:>12,}"
        f"{_number(block['gradient_norm']['value']):>12}{_number(block['trace']['value']):>12}"
        f"{_number(share):>12}  {_number(bounds[0])} to {_number(bounds[1])}"
    )


def _interval(estimate):
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    return f"{_number(value):>10}  ({_number(low)} to {_number(high)})"


def _number(value):
    """Returns three digits, and an infinity of what is not known."""
    return "∞" if value is None else f"{value:.3g}"
