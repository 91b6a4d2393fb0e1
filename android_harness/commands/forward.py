"""Runs a command of `pocketllm` on the phone with the flags that were given here.

The command's own flags are borrowed. --bundle and --run become folders of the phone, and each data
file is either sent from here or a path of the phone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError

from ..phone.adb import Phone, check_output
from ..phone.paths import checked_name, data_folder, result_file, run_folder, script
from ..phone.tree import local_tree
from .shared import define_phone_flags, open_phone, push_tree, pushed_bundle, run_job


@dataclass(frozen=True)
class DataFile:
    """A data file of a command, and its two flags.

    Attributes:
      flag: the command's own flag; here it names a file that is sent.
      phone_flag: the flag of a path on the phone.
      content: what the file holds, for the help.
      required: whether one of the two flags must be given.
      argument: the flag that the program on the phone takes it with; "" for `flag`.
    """

    flag: str
    phone_flag: str
    content: str
    required: bool = True
    argument: str = ""


def define_forward_flags(
    values: flags.FlagValues, lender: flags.FlagValues, files: Sequence[DataFile]
) -> None:
    """Defines the flags of a forwarded command.

    Args:
      values: gets the flags.
      lender: the command's own flags; those that mean the same on the phone are borrowed.
      files: the command's data files.
    """
    define_phone_flags(values)
    define = definer(values)
    for name in _borrowed(lender, files):
        values[name] = lender[name]
    define.string("bundle", None, "bundle that was pushed")
    define.string("run", None, "name of a run on the phone")
    for file in files:
        here, there = f"{file.content} here, sent to the phone", f"{file.content} on the phone"
        define.string(file.flag, None, here)
        define.string(file.phone_flag, None, there)


def forward_command(
    values: flags.FlagValues,
    command: str,
    lender: flags.FlagValues,
    files: Sequence[DataFile],
    *,
    job: str,
) -> Any:
    """Runs a command on the phone to its end; returns its result.

    Args:
      values: flags from `define_forward_flags`, --bundle among those given.
      command: the command's name.
      lender, files: as in `define_forward_flags`.
      job: name of the job on the phone.

    Raises:
      InputError, RunError, ConnectionLost, KeyboardInterrupt: see `shared.run_job`.
    """
    for file in files:
        if file.required and not (values[file.flag].value or values[file.phone_flag].value):
            raise InputError(f"--{file.flag} is missing (or --{file.phone_flag}); see --help")
    run = checked_name("run", values.run) if values.run else None
    phone = open_phone(values)
    arguments = [command, f"--bundle={pushed_bundle(phone, values.bundle)}"]
    for file in files:
        path = _path_on_phone(phone, file, values[file.flag].value, values[file.phone_flag].value)
        arguments += [f"--{file.argument or file.flag}={path}"] if path else []
    arguments += [f"--run={run_folder(run)}"] if run else []
    given = sorted(name for name in _borrowed(lender, files) if values[name].present)
    arguments += [values[name].serialize() for name in given]
    arguments.append(f"--json={result_file(job)}")
    return run_job(phone, job, arguments, values.reconnect_seconds)


def _borrowed(lender: flags.FlagValues, files: Sequence[DataFile]) -> list[str]:
    """Returns the names of the flags that mean the same here and on the phone."""
    own = {"bundle", "run", "json", *(file.flag for file in files)}
    return [name for name in lender if name not in own]


def _path_on_phone(phone: Phone, file: DataFile, here: str | None, there: str | None) -> str | None:
    """Returns the path of a data file on the phone, after sending it if need be; None: not given.

    Args:
      phone: the phone to send it to.
      file: names the flags.
      here: value of `file.flag`.
      there: value of `file.phone_flag`.
    """
    if here and there:
        raise InputError(
            f"--{file.flag} and --{file.phone_flag} name the same data; give one of them"
        )
    if there:
        check_on_phone(phone, file.phone_flag, there)
        return there
    if not here:
        return None
    path, name = Path(here), checked_name(file.flag, here)
    if not path.is_file():
        raise InputError(
            f"--{file.flag}={here}: no such file; is it on the phone? --{file.phone_flag}"
        )
    # A folder by sha256: the same file is sent once, and two of one name stay apart.
    folder = data_folder(local_tree({name: path})[name].sha256)
    push_tree(phone, {name: path}, folder, name)
    return f"{folder}/{name}"


def check_on_phone(phone: Phone, flag: str, path: str) -> None:
    """Raises InputError, which names the flag, where a path is no file that the phone can read."""
    if not path.startswith("/"):
        raise InputError(f"--{flag}={path}: expected a path from the phone's root, /sdcard/… say")
    tests = (
        'if [ -d "$path" ]; then echo "a folder, expected a file"',
        'elif [ ! -e "$path" ]; then echo "no such file on the phone"',
        'elif [ ! -r "$path" ]; then echo "adb\'s user may not read it; copy it to /sdcard"',
        "fi",
    )
    if trouble := check_output(phone, script(*tests, path=path), f"--{flag}={path}").strip():
        raise InputError(f"--{flag}={path}: {trouble}")
