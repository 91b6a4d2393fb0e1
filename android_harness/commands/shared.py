"""What the device commands share: flags, the phone, data on the way there, a job to its end."""

import json
from collections.abc import Mapping
from pathlib import Path

from absl import flags

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.progress import Progress

from ..phone import job
from ..phone.adb import Phone, checked, find_phone, is_there
from ..phone.follow import follow
from ..phone.paths import IMAGE, bundle_folder, checked_name, data_folder, result_file, script
from ..phone.transfer import push_files
from ..phone.tree import MANIFEST, local_tree

# Flags that say here and on the phone different things.
HERE_ONLY = ("bundle", "run", "train", "dev", "data", "json")


def define_phone_flags(values: flags.FlagValues) -> None:
    """Defines --serial and --reconnect_seconds."""
    flags.DEFINE_string(
        "serial", None, "the device, as `adb devices` calls it; none: the only one", values
    )
    flags.DEFINE_float(
        "reconnect_seconds",
        600.0,
        "how long to wait for a phone whose connection was lost; it goes on meanwhile",
        0.0,
        flag_values=values,
    )


def borrow_flags(values: flags.FlagValues, lender: flags.FlagValues) -> None:
    """Takes the flags over that mean the same on the phone."""
    for name in lender:
        if name not in HERE_ONLY:
            values[name] = lender[name]


def lent(values: flags.FlagValues, lender: flags.FlagValues) -> list[str]:
    """Returns the borrowed flags that were given, as arguments."""
    names = sorted(name for name in lender if name not in HERE_ONLY and values[name].present)
    return [values[name].serialize() for name in names]


def open_phone(values: flags.FlagValues) -> Phone:
    """Returns the phone of --serial, see `find_phone`."""
    return find_phone(values.serial)


def push_tree(phone: Phone, files: dict[str, Path], target: str, what: str) -> dict:
    """Makes a folder on the phone hold these files, with a progress bar.

    Returns:
      {"files", "bytes"} of it all, and "sent_bytes" of what had to be sent.
    """
    tree = local_tree(files)
    bars = []

    def started(total):
        bars.append(Progress(f"pushing {what}", total, "B", scale=True))
        return bars[0].__enter__().advance

    try:
        sent = push_files(phone, files, tree, target, started)
    finally:
        for bar in bars:
            bar.__exit__()
    total = sum(entry.size for entry in tree.values())
    if sent:
        print(f"{what}: {sent / 1e6:.1f} MB sent, {len(tree)} files of {total / 1e6:.1f} MB there")
    else:
        print(f"{what}: unchanged, {len(tree)} files of {total / 1e6:.1f} MB")
    return {"files": len(tree), "bytes": total, "sent_bytes": sent}


def there_bundle(phone: Phone, flag: str) -> str:
    """Returns the folder on the phone of the bundle that --bundle names; the image is there too."""
    name = checked_name("bundle", flag)
    for folder, what in ((IMAGE, "image"), (bundle_folder(name), "bundle")):
        if not is_there(phone, f"{folder}/{MANIFEST}"):
            flags_of = {"image": "--image=DIR", "bundle": f"--bundle={flag}"}[what]
            raise InputError(
                f"{folder}: no {what}, or not all of it, is on the phone; "
                f"`pocketllm device push {flags_of}`"
            )
    return bundle_folder(name)


def there_data(phone: Phone, flag: str, here: str | None, there: str | None) -> str | None:
    """Returns where a data file is on the phone: sent from `here`, or there already; or None."""
    if here and there:
        raise InputError(f"--{flag} and --device_{flag} name the same data; give one of them")
    if there:
        if not is_there(phone, there, "-r"):
            raise InputError(f"--device_{flag}={there}: no such file on the phone")
        return there
    if not here:
        return None
    path, name = Path(here), checked_name(flag, here)
    if not path.is_file():
        raise InputError(f"--{flag}={here}: no such file; is it on the phone? --device_{flag}")
    files = {name: path}
    digest = next(iter(local_tree(files).values())).sha256
    push_tree(phone, files, data_folder(digest), name)
    return f"{data_folder(digest)}/{name}"


def run_job(
    phone: Phone,
    name: str,
    arguments: list[str],
    reconnect_seconds: float,
    variables: Mapping[str, str] = {},
) -> dict:
    """Runs a command on the phone, detached, and shows it to its end; returns its result.

    Args:
      phone: where it runs.
      name: of the job.
      arguments: of the command; they make it write `result_file(name)`.
      reconnect_seconds: see `follow`.
      variables: see `job.start`.

    Raises:
      InputError, RunError, ConnectionLost, KeyboardInterrupt: see `job.start` and `follow`.
    """
    with signals.noticed():  # by `follow`: what has been started is also stopped
        job.start(phone, name, arguments, variables)
        return finish_job(phone, name, reconnect_seconds)


def finish_job(phone: Phone, name: str, reconnect_seconds: float) -> dict:
    """Shows a job to its end; returns its result."""
    follow(phone, name, reconnect_seconds)
    text = checked(phone, script('cat "$result"', result=result_file(name)), name)
    try:
        return json.loads(text) | {"serial": phone.serial, "job": name}
    except ValueError as error:
        raise RunError(f"{name}: its result came through damaged ({error})") from error
