"""Fine-tunes on the phone, as `pocketllm train` does here; it goes on when the cable is pulled.

--bundle and --run are names on the phone (the last part of a path). --train, --dev and --samples
are files here, which are sent; --device_data, --device_dev and --device_samples are paths on the
phone. All other flags, exit
codes and errors are those of `pocketllm train`. Ctrl-C ends the run after the step under way; the
same command continues it. If this computer or the connection fails, `pocketllm device attach`
follows the run again.

--runtime=native trains with pocketllm-train (`pocketllm device image --native`), MeZO and fzoo with
a given --lr: --bundle is then the bundle's folder here, with which the data is encoded before it
is sent, and --device_data and --device_dev are rows that are encoded already.

examples:
  pocketllm device train --bundle=mine --train=train.tsv --run=first --steps=400 --batch_size=16
  pocketllm device train --bundle=mine --device_data=/sdcard/notes.jsonl --run=notes --steps=1000
  pocketllm device train --bundle=mine --train=train.tsv --run=small --steps=400 --lr=3e-4 \\
      --runtime=native
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from absl import flags

from pocketllm.runtime.commands import train
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required

from ..phone.paths import checked_name, training_job
from . import native
from .forward import DataFile, define_forward_flags, forward_command
from .shared import open_phone

PYTHON, NATIVE = "python", "native"

FILES = (
    DataFile("train", "device_data", "training data"),
    DataFile("dev", "device_dev", "dev data", required=False),
    DataFile("samples", "device_samples", "prompts to answer at each evaluation", required=False),
)

FLAGS = flags.FlagValues()
define_forward_flags(FLAGS, train.FLAGS, FILES)
definer(FLAGS).enum("runtime", PYTHON, [PYTHON, NATIVE], "program that trains on the phone")


def run(values) -> dict:
    """Trains; see the module's docstring."""
    required(values, "bundle", "run", "steps")
    job = training_job(checked_name("run", values.run))
    if values.runtime == PYTHON:
        return forward_command(values, "train", train.FLAGS, FILES, job=job)
    native.check_flags(values, train.FLAGS, FILES)
    native.check_image(open_phone(values))
    with TemporaryDirectory() as folder:
        native.encode_files(values, Path(folder))
        return forward_command(values, "train", train.FLAGS, native.FILES, job=job)
