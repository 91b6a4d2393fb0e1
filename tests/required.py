"""What a test needs and this machine lacks: a reason to skip it here, a failure in CI."""

import os
import re

CI = "CI"  # set there, by .ci/run
# Not missing, but not to be had: facts of a machine that no installation changes.
STATED = (
    "this machine tells its battery's temperature",
    "files of this folder have no pages of their own",
    "this folder lies in memory: its pages cannot be dropped",
)


def fail_in_ci(report) -> None:
    """Turns a skipped test, or module, into a failed one where CI is set, unless it is stated."""
    if not os.environ.get(CI) or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(re.search(re.escape(text), reason) for text in STATED):
        report.outcome = "failed"
        report.longrepr = f"{reason}: skipped where {CI} is set; see tests/required.py"
