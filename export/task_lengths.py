"""How long the rows of a task are: default buckets, and what a bucket would truncate."""

import numpy as np

TOKENS = (32, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024)

# Share of the published training rows that are longer than each of TOKENS, from
# `python -m pocketllm.benchmarks.task_lengths`: OPT's tokenizer, <s> included, and the gold option
# for copa and record. BoolQ is a thousand training rows, ReCoRD the 32 of FewGLUE, which hold no
# long passage; the rest is each task's whole train.jsonl (train.tsv for sst2).
LONGER = {
    "sst2": (0.0599, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "rte": (0.9940, 0.5594, 0.2502, 0.1631, 0.0229, 0.0016, 0, 0, 0, 0, 0),
    "cb": (1, 0.7960, 0.3440, 0.1640, 0.0440, 0.0040, 0, 0, 0, 0, 0),
    "boolq": (0.9930, 0.8920, 0.6850, 0.4290, 0.1380, 0.0510, 0.0090, 0.0020, 0.0010, 0.0010, 0),
    "wsc": (0.9585, 0.1751, 0.0235, 0.0199, 0, 0, 0, 0, 0, 0, 0),
    "wic": (0.9578, 0.0044, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "multirc": (1, 1, 1, 1, 0.9389, 0.7389, 0.4598, 0.1706, 0.0057, 0, 0),
    "copa": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "record": (1, 1, 1, 1, 1, 0.3438, 0, 0, 0, 0, 0),
}

# Buckets around the quartiles; the longest truncates at most 5% of these rows.
LENGTHS = {
    "sst2": (16, 32, 64),
    "rte": (64, 128, 192),
    "cb": (64, 128, 192),
    "boolq": (128, 192, 256, 384),
    "wsc": (48, 64, 96),
    "wic": (48, 64),
    "multirc": (256, 384, 512, 640),
    "copa": (16, 32),
    "record": (256, 384, 512),
}
OTHER_LENGTHS = (32, 64, 128)


def default_lengths(family: str, task: str) -> tuple[int, ...]:
    """Returns the buckets to export where none are asked for, ascending."""
    return LENGTHS.get(task, OTHER_LENGTHS) if family == "opt" else OTHER_LENGTHS


def share_longer(family: str, task: str, tokens: int) -> float | None:
    """Returns the share of a task's rows longer than `tokens`, None where nobody measured it.

    Between the lengths that were measured it is interpolated.
    """
    if family != "opt" or task not in LONGER:
        return None
    return float(np.interp(tokens, (0, *TOKENS), (1, *LONGER[task])))
