"""Shared by the device commands: flags, the phone, pushing with a progress bar, running a job."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.progress import Progress

from ..phone import job
from ..phone.adb import Phone, check_output, is_there
from ..phone.devices import VARIABLE, find_phone
from ..phone.follow import follow
from ..phone.paths import IMAGE, bundle_folder, checked_name, result_file, script
from ..phone.space import full_remedy
from ..phone.transfer import push_files
from ..phone.tree import MANIFEST, local_tree

SERIAL_HELP = f"the device, as `adb devices` calls it; none: {VARIABLE}'s, or the only one ready"


def define_phone_flags(values: flags.FlagValues) -> None:
    """Defines --serial and --reconnect_seconds."""
    define = definer(values)
    define.string("serial", None, SERIAL_HELP)
    define.float(
        "reconnect_seconds",
        600.0,
        "time to wait for a phone whose connection was lost; it goes on meanwhile",
        0.0,
    )


def open_phone(values: flags.FlagValues) -> Phone:
    """Returns the phone of --serial or ANDROID_SERIAL; for errors see `find_phone`."""
    return find_phone(values.serial)


def push_tree(phone: Phone, files: dict[str, Path], target: str, label: str) -> dict:
    """Makes a folder on the phone hold these files, with a progress bar.

    Args:
      phone: the phone to send them to.
      files: {path in the folder: file here}.
      target: the folder on the phone.
      label: what the files are, for the bar and the printed line.

    Returns:
      {"files", "bytes"} of the folder, and "sent_bytes" of this push.
    """
    tree = local_tree(files)
    with ExitStack() as stack:

        def start_progress(total):
            bar = Progress(f"pushing {label}", total, "B", scale=True)
            return stack.enter_context(bar).advance

        sent = push_files(phone, files, tree, target, start_progress=start_progress)
    total = sum(entry.size for entry in tree.values())
    if sent:
        print(f"{label}: {sent / 1e6:.1f} MB sent, {len(tree)} files of {total / 1e6:.1f} MB there")
    else:
        print(f"{label}: unchanged, {len(tree)} files of {total / 1e6:.1f} MB")
    return {"files": len(tree), "bytes": total, "sent_bytes": sent}


def pushed_bundle(phone: Phone, flag: str) -> str:
    """Returns the folder on the phone of the bundle that --bundle names.

    Raises:
      InputError: the bundle or the image is not on the phone, or not all of it.
    """
    name = checked_name("bundle", flag)
    for folder, content, flags_of_push in (
        (IMAGE, "image", "--image=DIR"),
        (bundle_folder(name), "bundle", f"--bundle={flag}"),
    ):
        if not is_there(phone, f"{folder}/{MANIFEST}"):
            raise InputError(
                f"{folder}: no {content}, or not all of it, is on the phone; "
                f"`pocketllm device push {flags_of_push}`"
            )
    return bundle_folder(name)


def run_job(
    phone: Phone,
    name: str,
    arguments: list[str],
    reconnect_seconds: float,
    *,
    variables: Mapping[str, str] = {},
) -> Any:
    """Runs a command on the phone, detached, and prints its output to the end; returns its result.

    Args:
      phone: the phone to run it on.
      name: the job's name.
      arguments: of the command; they make it write `result_file(name)`.
      reconnect_seconds: see `follow`.
      variables: see `job.start`.

    Raises:
      InputError, RunError, ConnectionLost, KeyboardInterrupt: see `job.start` and `follow`.
    """
    # Deferred until `follow` handles it: a job that was started must also be stopped.
    with signals.caught():
        job.start(phone, name, arguments, variables)
        return finish_job(phone, name, reconnect_seconds)


def finish_job(phone: Phone, name: str, reconnect_seconds: float) -> Any:
    """Prints a job's output until it ends; returns its result; for errors see `follow`."""
    follow(phone, name, reconnect_seconds)
    cat = script('cat "$result" 2>/dev/null; true', result=result_file(name))
    try:
        result = json.loads(check_output(phone, cat, name))
    except ValueError as error:
        raise RunError(
            f"{name}: it ended well, and left no whole result ({error}){full_remedy(phone)}"
        ) from error
    return result if isinstance(result, list) else result | {"serial": phone.serial, "job": name}
