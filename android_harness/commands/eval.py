"""Evaluates on the phone, as `pocketllm eval` does here: a bundle, or what a run there reached.

--bundle and --run are names on the phone. --data is a file of this computer, which is sent;
--device_data a path of the phone, which stays there.

examples:
  pocketllm device eval --bundle=mine --data=heldout.tsv --run=first
  pocketllm device eval --bundle=mine --device_data=/sdcard/heldout.tsv
"""

from absl import flags

from pocketllm.runtime.commands import eval
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError

from ..phone.paths import checked_name, result_file, run_folder
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
borrow_flags(FLAGS, eval.FLAGS)
flags.DEFINE_string("bundle", None, "bundle that was pushed", flag_values=FLAGS)
flags.DEFINE_string("run", None, "name of a run on the phone", flag_values=FLAGS)
flags.DEFINE_string("data", None, "labelled data here, sent to the phone", flag_values=FLAGS)
flags.DEFINE_string("device_data", None, "labelled data on the phone", flag_values=FLAGS)

JOB = "eval"


def run(values) -> dict:
    """Evaluates; see the module's docstring."""
    required(values, "bundle")
    if not values.data and not values.device_data:
        raise InputError("--data is missing (or --device_data); see --help")
    name = checked_name("run", values.run) if values.run else None
    phone = open_phone(values)
    bundle = there_bundle(phone, values.bundle)
    data = there_data(phone, "data", values.data, values.device_data)
    arguments = [
        "eval",
        f"--bundle={bundle}",
        f"--data={data}",
        *([f"--run={run_folder(name)}"] if name else []),
        *lent(values, eval.FLAGS),
        f"--json={result_file(JOB)}",
    ]
    return run_job(phone, JOB, arguments, values.reconnect_seconds)
