"""Checks whether a phone can train, and says what to do if not: adb, the phone, storage, the image.

The exit code is 0 if every check that matters is good, else 1.

example:
  pocketllm device doctor --serial=R58M12ABCDE
"""

from dataclasses import asdict

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import RunError

from ..phone.doctor import check_adb, check_phone

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("serial", None, "the device, as `adb devices` calls it")


def run(values) -> dict:
    """Checks; see the module's docstring."""
    findings, phone = check_adb(values.serial)
    if phone:
        findings += check_phone(phone)
    for finding in findings:
        mark = "BAD " if not finding.good else "note" if finding.remedy else "ok  "
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        print(f"{mark} {finding.name}: {finding.state}{remedy}", flush=True)
    bad = [finding.name for finding in findings if not finding.good]
    if bad or phone is None:
        raise RunError(f"not ready: {', '.join(bad)}; what to do is said above")
    return {"findings": [asdict(finding) for finding in findings], "serial": phone.serial}
