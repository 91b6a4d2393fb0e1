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

from .adb import checked
from .job import RUNNING, job_names, look
from .layout import DATA, HOME, bundle_folder, checked_name, job_folder, run_folder, script
from .session import define_phone_flags, open_phone
from .tree import MANIFEST, sizes_in

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
    names = {flag: checked_name(flag, values[flag].value) for flag in NAMED if values[flag].value}
    if not (names or values.data or values.all):
        raise InputError("nothing to remove; give --data, --run, --bundle or --all")
    phone = open_phone(values)
    for job in job_names(phone):
        if look(phone, job, 0, 0).state == RUNNING:
            raise InputError(
                f"{job}: is running on the phone; stop it (Ctrl-C in `pocketllm device attach`), "
                "or wait"
            )
    for flag, name in names.items():
        folder = NAMED[flag](name)
        exists = script('[ -e "$folder" ] && echo yes; true', folder=folder)
        if "yes" not in checked(phone, exists, folder):
            raise InputError(f"--{flag}={values[flag].value}: no {folder} on the phone")
    folders = [NAMED[flag](name) for flag, name in names.items()]
    folders += [job_folder(f"train-{names['run']}")] if "run" in names else []
    folders += [DATA] if values.data else []
    freed = {}
    for folder in [HOME] if values.all else folders:
        freed[folder] = sum(sizes_in(phone, folder).values())
        checked(phone, script(REMOVE, folder=folder), folder)
        print(f"{folder}: removed, {freed[folder] / 1e6:.1f} MB", flush=True)
    return {"freed_bytes": freed, "serial": phone.serial}
