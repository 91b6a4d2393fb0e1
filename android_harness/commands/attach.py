"""Follows a job on the phone: prints its output from the beginning until it ends.

The job is the training of --run, else the one that was started last. Ctrl-C ends a training after
the step under way, as in `pocketllm device train`; a second one leaves.

examples:
  pocketllm device attach
  pocketllm device attach --run=first
"""

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError

from ..phone.job import job_names
from ..phone.paths import checked_name, training_job
from .shared import define_phone_flags, finish_job, open_phone

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_phone_flags(FLAGS)
define.string("run", None, "name of a run on the phone; none: the latest job")


def run(values) -> dict:
    """Follows; see the module's docstring."""
    chosen = training_job(checked_name("run", values.run)) if values.run else None
    phone = open_phone(values)
    names = job_names(phone)
    if not names or chosen not in (None, *names):
        raise InputError(
            f"{chosen or phone.serial}: nothing was started on the phone; `pocketllm device train`"
        )
    name = chosen or names[0]
    print(f"following {name}", flush=True)
    return finish_job(phone, name, values.reconnect_seconds)
