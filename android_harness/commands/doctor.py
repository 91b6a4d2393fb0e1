"""Checks whether a phone can train, and says what to do if not: adb, the phone, storage, the image.

Every check runs, whatever the others find. The exit code is 0 if every check that matters is good,
else 1; --json holds all findings in either case.

example:
  pocketllm device doctor --serial=R58M12ABCDE
"""

from dataclasses import asdict
from itertools import chain
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import write_json

from ..phone.doctor import Finding, check_adb, check_phone
from .shared import SERIAL_HELP

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("serial", None, SERIAL_HELP)


def run(values) -> dict:
    """Checks; see the module's docstring."""
    missing, phone = None, None
    try:
        first, phone = check_adb(values.serial)
    except InputError as error:
        state, _, remedy = str(error).removeprefix("adb: ").partition("; ")
        first, missing = [Finding("adb", False, state, remedy)], error
    findings = []
    for finding in chain(first, check_phone(phone) if phone else ()):
        findings.append(finding)
        mark = "BAD " if not finding.good else "note" if finding.remedy else "ok  "
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        print(f"{mark} {finding.name}: {finding.state}{remedy}", flush=True)
    result = {
        "findings": [asdict(finding) for finding in findings],
        "serial": phone.serial if phone else None,
    }
    bad = [finding.name for finding in findings if not finding.good]
    if bad and values.json:  # of a command that fails nobody else writes it
        write_json(Path(values.json), result)
    if missing:
        raise missing
    if bad:
        raise RunError(f"not ready: {', '.join(bad)}; what to do is said above")
    return result
