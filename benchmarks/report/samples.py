"""What the model of each run said at its evaluations, side by side, first to last."""

from collections.abc import Sequence

from pocketllm.runtime.generate.samples import Sample

from .markdown import escaped, table

CUT = "**[cut]**"  # behind a text that the model had not ended
COLUMNS = 4  # of evaluations beside each other: the first, the last, and some between


def samples_of(samples: Sequence[Sample], last: int) -> list[dict]:
    """Returns the samples of a run as report.json holds them.

    Args:
      samples: in order of steps; those of the prompts that were sampled last count.
      last: the run's last step.
    """
    prompts = samples[-1].prompts_sha256 if samples else None
    return [
        {
            "step": s.step,
            "prompt": s.prompt,
            "number": s.number,
            "text": s.text,
            "is_cut": s.is_cut,
        }
        for s in samples
        if s.prompts_sha256 == prompts and s.step <= last
    ]


def samples_section(runs: Sequence[dict]) -> list[str]:
    """Returns the section of report.md with a table a run; none where no run has samples."""
    sampled = [run for run in runs if run["samples"]]
    if not sampled:
        return []
    parts = [
        "## What the model says",
        "The most likely token each time, behind the same prompts, with the parameters after so "
        "many steps.",
    ]
    if any(sample["is_cut"] for run in sampled for sample in run["samples"]):
        parts.append(
            f"{CUT} stands where a text was cut: after as many tokens as `--samples_tokens` says, "
            "or because the context was full."
        )
    for run in sampled:
        if len(runs) > 1:
            parts.append(f"### {escaped(run['run'])}")
        parts.append(_table(run["samples"]))
    return parts


def _table(samples):
    steps = sorted({sample["step"] for sample in samples})
    count = min(COLUMNS, len(steps))
    places = [round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)]
    shown = [steps[place] for place in places]
    texts = {
        (sample["number"], sample["step"]): escaped(sample["text"]) + f" {CUT}" * sample["is_cut"]
        for sample in samples
    }
    prompts = {sample["number"]: sample["prompt"] for sample in samples}
    rows = [
        [escaped(prompt), *(texts.get((number, step), "") for step in shown)]
        for number, prompt in sorted(prompts.items())
    ]
    return table(["prompt", *(f"step {step:,}" for step in shown)], rows)
