"""Fine-tunes on the phone, as `pocketllm train` does here; it goes on when the cable is pulled.

--bundle and --run are names on the phone (of a path, its last part). --train and --dev are files of
this computer, which are sent; --device_data and --device_dev are paths of the phone, which stay
there. All other flags are those of `pocketllm train`, and so are exit codes and errors. Ctrl-C ends
the run after the step under way; the same command goes on. If this computer or the connection goes,
`pocketllm device attach` follows the run again.

examples:
  pocketllm device train --bundle=mine --train=train.tsv --run=first --steps=400 --batch_size=16
  pocketllm device train --bundle=mine --device_data=/sdcard/notes.jsonl --run=notes --steps=1000
"""

from absl import flags

from pocketllm.runtime.commands import train
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError

from ..phone.paths import checked_name, result_file, run_folder, training_job
from .shared import (
    borrow_flags,
    define_phone_flags,
    lent,
    open_phone,
    run_job,
    there_bundle,
    there_data,
)

FLAGS = flags.FlagValues()
define_phone_flags(FLAGS)
borrow_flags(FLAGS, train.FLAGS)
flags.DEFINE_string("bundle", None, "bundle that was pushed", flag_values=FLAGS)
flags.DEFINE_string("run", None, "name of the run on the phone", flag_values=FLAGS)
flags.DEFINE_string("train", None, "training data here, sent to the phone", flag_values=FLAGS)
flags.DEFINE_string("device_data", None, "training data on the phone", flag_values=FLAGS)
flags.DEFINE_string("dev", None, "dev data here, sent to the phone", flag_values=FLAGS)
flags.DEFINE_string("device_dev", None, "dev data on the phone", flag_values=FLAGS)


def run(values) -> dict:
    """Trains; see the module's docstring."""
    required(values, "bundle", "run", "steps")
    if not values.train and not values.device_data:
        raise InputError("--train is missing (or --device_data); see --help")
    name = checked_name("run", values.run)
    phone = open_phone(values)
    bundle = there_bundle(phone, values.bundle)
    train = there_data(phone, "train", values.train, values.device_data)
    dev = there_data(phone, "dev", values.dev, values.device_dev)
    job = training_job(name)
    arguments = [
        "train",
        f"--bundle={bundle}",
        f"--train={train}",
        f"--run={run_folder(name)}",
        *([f"--dev={dev}"] if dev else []),
        *lent(values, train.FLAGS),
        f"--json={result_file(job)}",
    ]
    return run_job(phone, job, arguments, values.reconnect_seconds)
