"""Removes data, runs and bundles from the phone.

--data removes the training and dev data that was sent; --run and --bundle the one of that name;
--all everything of PocketLLM's, also runs that were not pulled. Nothing is removed while a job runs
on the phone.

examples:
  pocketllm device clean --data
  pocketllm device clean --run=first --bundle=mine
  pocketllm device clean --all
"""

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError

from ..phone.adb import check_output, is_there
from ..phone.job import check_stopped
from ..phone.paths import (
    DATA,
    HOME,
    INCOMING,
    answering_job,
    bundle_folder,
    checked_name,
    job_folder,
    run_folder,
    script,
    training_job,
)
from ..phone.transfer import partial_folder
from ..phone.tree import MANIFEST, sizes_in
from .shared import define_phone_flags, open_phone

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_phone_flags(FLAGS)
define.bool("data", False, "remove the data that was sent")
define.string("run", None, "name of a run to remove")
define.string("bundle", None, "name of a bundle to remove")
define.bool("all", False, "remove everything of PocketLLM's")
# The manifest goes first: a folder without one is not used, however far this comes.
REMOVE = f'rm -f "$folder/{MANIFEST}" && rm -rf "$folder"'
FOLDERS = {"run": run_folder, "bundle": bundle_folder}


def run(values) -> dict:
    """Removes; see the module's docstring."""
    folders = {
        flag: folder_of(checked_name(flag, values[flag].value))
        for flag, folder_of in FOLDERS.items()
        if values[flag].value
    }
    if not (folders or values.data or values.all):
        raise InputError("nothing to remove; give --data, --run, --bundle or --all")
    phone = open_phone(values)
    check_stopped(phone)
    for flag, folder in folders.items():
        if not (is_there(phone, folder) or is_there(phone, partial_folder(folder))):
            raise InputError(f"--{flag}={values[flag].value}: no {folder} on the phone")
    if values.run:
        name = checked_name("run", values.run)
        folders["job"] = job_folder(training_job(name))
        folders["answers"] = job_folder(answering_job(name))
    if values.data:
        folders |= {"data": DATA, "pieces": INCOMING}
    if values.bundle:  # what a push that was cut off has left
        folders["partial"] = partial_folder(folders["bundle"])
    rests = {folders.get(name) for name in ("pieces", "partial", "answers")}
    freed = {}
    for folder in [HOME] if values.all else folders.values():
        freed[folder] = sum(sizes_in(phone, folder).values())
        check_output(phone, script(REMOVE, folder=folder), folder)
        if freed[folder] or folder not in rests:
            print(f"{folder}: removed, {freed[folder] / 1e6:.1f} MB", flush=True)
    return {"freed_bytes": freed, "serial": phone.serial}
