"""Cuts a data file into parts of equal size, for clients of an experiment.

--alpha says how much the labels of the parts differ: inf gives all the same shares, 0.1 gives most
of them one label. A line of the file is an example: .tsv, .txt, .jsonl.

example:
  pocketllm federate split --bundle=micro --data=train.tsv --clients=100 --alpha=0.5 --out=parts
"""

from pathlib import Path

from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError

from ..simulation.parts import write_parts
from .shared import alpha_of, new_folder

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder: its task says which labels the data has")
define.string("data", None, "data file, one example a line")
define.integer("clients", None, "number of parts")
define.string("alpha", "inf", "of the Dirichlet distribution of labels; inf: all the same")
define.integer("seed", 0, "random seed of the draw", 0)
define.string("out", None, "folder to write")


def run(values) -> dict:
    """Splits; see the module's docstring."""
    required(values, "bundle", "data", "clients", "out")
    if values.clients < 1:
        raise InputError(f"--clients={values.clients}: expected 1 or more")
    alpha, out = alpha_of(values.alpha), new_folder(values.out)
    task = read_bundle(values.bundle).task
    parts = write_parts(Path(values.data), task, values.clients, alpha, values.seed, out=out)
    sizes = [sum(counts.values()) for _, counts in parts]
    largest = [max(counts.values()) / sum(counts.values()) for _, counts in parts]
    print(
        f"{out}: {len(parts)} parts of {sizes[0]} examples, the commonest label is "
        f"{100 * sum(largest) / len(largest):.0f}% of a part on average"
    )
    return {
        "out": str(out),
        "parts": [
            {"file": str(path), "labels": {str(k): v for k, v in sorted(counts.items())}}
            for path, counts in parts
        ],
    }
