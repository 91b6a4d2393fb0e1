"""A client whose rounds a phone takes: this machine carries questions there, and answers back.

The phone holds the bundle, the data and the client's journal; it runs `pocketllm federate answer`
as a job for each question. Neither its data nor its run is read here.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from pocketllm.android_harness.commands.forward import check_on_phone
from pocketllm.android_harness.commands.shared import (
    define_phone_flags,
    open_phone,
    pushed_bundle,
    run_job,
)
from pocketllm.android_harness.phone import job
from pocketllm.android_harness.phone.adb import Phone, check_output, is_there, send_file
from pocketllm.android_harness.phone.paths import (
    IMAGE,
    answering_job,
    bundle_folder,
    checked_name,
    result_file,
    run_folder,
    script,
)
from pocketllm.android_harness.phone.tree import remote_tree
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import sha256_of

HERE, DEVICE = "here", "device"
PROGRAM = f"{IMAGE}/site/pocketllm/federated/commands/answer.py"
QUESTION = "question"  # in the run directory on the phone
FORWARDED = ("threads", "engine", "packed_weights")
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Gateway:
    """A phone that answers.

    Attributes:
      phone: reached over adb.
      run: name of the client's run there.
      arguments: of `pocketllm federate answer`, but the question.
      reconnect_seconds: time to wait for a phone whose connection was lost.
    """

    phone: Phone
    run: str
    arguments: tuple[str, ...]
    reconnect_seconds: float


def define_gateway_flags(values: flags.FlagValues) -> None:
    """Defines --via and what goes with it."""
    define = definer(values)
    define.enum("via", HERE, [HERE, DEVICE], "what measures: this machine, or a phone over adb")
    define.string("device_data", None, "this client's data, on the phone; with --via=device")
    define_phone_flags(values)


def open_gateway(values: flags.FlagValues, bundle: Bundle) -> Gateway:
    """Returns the phone of the flags, which can answer: it has opened bundle and data once.

    Args:
      values: of `federate client`.
      bundle: of --bundle, on this machine; the phone must hold the same.

    Raises:
      InputError: flags that do not go together, or image, bundle or data are not on the phone, or
        are others.
      RunError: no phone, or it failed.
    """
    required(values, "device_data")
    if values.train:
        raise InputError(
            f"--train={values.train}: data of this machine; with --via=device give --device_data, "
            "a path on the phone"
        )
    if values.private is not None:
        raise InputError(
            "--private: the phone has no accountant to check the noise with; leave it out, or "
            "answer with --via=here"
        )
    run = checked_name("run", values.run)
    phone = open_phone(values)
    there = pushed_bundle(phone, values.bundle)
    own = sha256_of(bundle.folder / contract.MANIFEST_FILE)
    entry = remote_tree(phone, there).get(contract.MANIFEST_FILE)
    if entry is None or entry.sha256 != own:
        raise InputError(
            f"{there}: another bundle than {bundle.folder}; "
            f"`pocketllm device push --bundle={values.bundle}`"
        )
    if not is_there(phone, PROGRAM):
        raise InputError(
            f"{IMAGE}: an image that cannot answer a federation; build one with `pocketllm device "
            "image`, then `pocketllm device push --image=DIR`"
        )
    check_on_phone(phone, "device_data", values.device_data)
    gateway = _gateway(values, phone, run)
    _run(gateway, [])
    return gateway


def reopened(values: flags.FlagValues) -> Gateway:
    """Returns what `open_gateway` has checked.

    Args:
      values: of `federate client`; --serial names the phone.

    Raises:
      RunError: the phone is not there.
    """
    return _gateway(values, open_phone(values), checked_name("run", values.run))


def carried(gateway: Gateway, question: bytes) -> bytes:
    """Returns the phone's answer to a question.

    A job that still answers an earlier question is stopped: nobody waits for it.

    Args:
      gateway: the phone.
      question: its bytes; whose they are was checked here.

    Raises:
      InputError: no question, or it cannot be answered.
      RunError: the phone failed, or did not come back in time.
    """
    phone, name = gateway.phone, answering_job(gateway.run)
    while job.running_jobs(phone, name):
        job.stop(phone, name)
        time.sleep(LOOK_SECONDS)
    folder = run_folder(gateway.run)
    check_output(phone, script('mkdir -p "$folder"', folder=folder), folder)
    with tempfile.NamedTemporaryFile(prefix="pocketllm-question-") as file:
        file.write(question)
        file.flush()
        send_file(phone, Path(file.name), f"{folder}/{QUESTION}")
    result = _run(gateway, [f"--question={folder}/{QUESTION}"])
    try:
        return bytes.fromhex(result["answer"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{name}: the phone's answer is damaged; it is asked again") from error


def _gateway(values, phone, run):
    """Returns the gateway of flags that were checked."""
    bundle = bundle_folder(checked_name("bundle", values.bundle))
    paths = (f"--bundle={bundle}", f"--train={values.device_data}", f"--run={run_folder(run)}")
    given = tuple(f"--{name}={getattr(values, name)}" for name in FORWARDED)
    return Gateway(phone, run, paths + given, values.reconnect_seconds)


def _run(gateway, more):
    """Runs the phone's side as a job; returns its result."""
    name = answering_job(gateway.run)
    words = ["federate", "answer", *gateway.arguments, *more, f"--json={result_file(name)}"]
    return run_job(gateway.phone, name, words, gateway.reconnect_seconds)
