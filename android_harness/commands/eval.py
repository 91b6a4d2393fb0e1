"""Evaluates a bundle, or a run, on the phone, as `pocketllm eval` does here.

--bundle and --run are names on the phone. --data is a file here, which is sent; --device_data a
path on the phone.

examples:
  pocketllm device eval --bundle=mine --data=heldout.tsv --run=first
  pocketllm device eval --bundle=mine --device_data=/sdcard/heldout.tsv
"""

from absl import flags

from pocketllm.runtime.commands import eval
from pocketllm.runtime.commands.shared import required

from .forward import DataFile, define_forward_flags, forward_command

FILES = (DataFile("data", "device_data", "labelled data"),)
JOB = "eval"

FLAGS = flags.FlagValues()
define_forward_flags(FLAGS, eval.FLAGS, FILES)


def run(values) -> dict:
    """Evaluates; see the module's docstring."""
    required(values, "bundle")
    return forward_command(values, "eval", eval.FLAGS, FILES, job=JOB)
