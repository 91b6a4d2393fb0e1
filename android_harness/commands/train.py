"""Fine-tunes on the phone, as `pocketllm train` does here; it goes on when the cable is pulled.

--bundle and --run are names on the phone (the last part of a path). --train, --dev and --samples
are files here, which are sent; --device_data, --device_dev and --device_samples are paths on the
phone. All other flags, exit
codes and errors are those of `pocketllm train`. Ctrl-C ends the run after the step under way; the
same command continues it. If this computer or the connection fails, `pocketllm device attach`
follows the run again.

examples:
  pocketllm device train --bundle=mine --train=train.tsv --run=first --steps=400 --batch_size=16
  pocketllm device train --bundle=mine --device_data=/sdcard/notes.jsonl --run=notes --steps=1000
"""

from absl import flags

from pocketllm.runtime.commands import train
from pocketllm.runtime.commands.shared import required

from ..phone.paths import checked_name, training_job
from .forward import DataFile, define_forward_flags, forward_command

FILES = (
    DataFile("train", "device_data", "training data"),
    DataFile("dev", "device_dev", "dev data", required=False),
    DataFile("samples", "device_samples", "prompts to answer at each evaluation", required=False),
)

FLAGS = flags.FlagValues()
define_forward_flags(FLAGS, train.FLAGS, FILES)


def run(values) -> dict:
    """Trains; see the module's docstring."""
    required(values, "bundle", "run", "steps")
    job = training_job(checked_name("run", values.run))
    return forward_command(values, "train", train.FLAGS, FILES, job=job)
