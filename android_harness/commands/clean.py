"""Removes from the phone what it no longer needs.

--data: the training and dev data that was sent there; --run, --bundle: one of that name; --all:
everything of ours, the runs that were not pulled included. Nothing is removed while a command runs
there.

examples:
  pocketllm device clean --data
  pocketllm device clean --run=first --bundle=mine
  pocketllm device clean --all
"""

from absl import flags

from pocketllm.runtime.errors import InputError

from ..phone.adb import checked, is_there
from ..phone.job import check_stopped, job_names
from ..phone.paths import (
    DATA,
    HOME,
    bundle_folder,
    checked_name,
    job_folder,
    run_folder,
    script,
    training_job,
)
from ..phone.tree import MANIFEST, sizes_in
from .shared import define_phone_flags, open_phone

FLAGS = flags.FlagValues()
define_phone_flags(FLAGS)
flags.DEFINE_bool("data", False, "the data that was sent there", flag_values=FLAGS)
flags.DEFINE_string("run", None, "name of a run", flag_values=FLAGS)
flags.DEFINE_string("bundle", None, "bundle that was pushed", flag_values=FLAGS)
flags.DEFINE_bool("all", False, "everything", flag_values=FLAGS)
# A folder counts as whole by its manifest, so that goes first.
REMOVE = f'rm -f "$folder/{MANIFEST}" && rm -rf "$folder"'
NAMED = {"run": run_folder, "bundle": bundle_folder}


def run(values) -> dict:
    """Removes; see the module's docstring."""
    folders = {f: NAMED[f](checked_name(f, values[f].value)) for f in NAMED if values[f].value}
    if not (folders or values.data or values.all):
        raise InputError("nothing to remove; give --data, --run, --bundle or --all")
    phone = open_phone(values)
    for job in job_names(phone):
        check_stopped(phone, job, f"{job}: is running on the phone")
    for flag, folder in folders.items():
        if not is_there(phone, folder):
            raise InputError(f"--{flag}={values[flag].value}: no {folder} on the phone")
    if values.run:
        folders["job"] = job_folder(training_job(checked_name("run", values.run)))
    if values.data:
        folders["data"] = DATA
    freed = {}
    for folder in [HOME] if values.all else folders.values():
        freed[folder] = sum(sizes_in(phone, folder).values())
        checked(phone, script(REMOVE, folder=folder), folder)
        print(f"{folder}: removed, {freed[folder] / 1e6:.1f} MB", flush=True)
    return {"freed_bytes": freed, "serial": phone.serial}
