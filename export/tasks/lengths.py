"""How long the rows of a task are: default buckets, and what a bucket would truncate."""

from functools import cache

from pocketllm.runtime import contract
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.tasks import text
from pocketllm.tflite_models.presets import ROW_LENGTHS

# Buckets around the quartiles; the longest truncates at most 5% of the rows that were measured.
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
TEXT_LENGTHS = (64, 128, 256)  # of learnt text: prompts with answers are a few sentences long
MEASURED = "opt"  # whose tokenizer the rows were measured with


def default_lengths(style: str, task: str) -> tuple[int, ...]:
    """Returns the buckets to export where none are asked for, ascending."""
    if style != contract.CAUSAL:
        return OTHER_LENGTHS
    return TEXT_LENGTHS if task in text.TASKS else LENGTHS.get(task, OTHER_LENGTHS)


@cache
def row_lengths() -> dict:
    """Returns what `python -m pocketllm.benchmarks.row_lengths` measured.

    causal task -> {"file", "examples", "tokens": {number of tokens: rows of that length}}: rows as
    they are trained on, by OPT's tokenizer, <s> included. BoolQ is a thousand training rows,
    ReCoRD FewGLUE's 32, which hold no long passage; the rest is each task's whole training file.
    """
    return read_json(ROW_LENGTHS, "install pocketllm again")


def share_longer(model_type: str, task: str, tokens: int) -> float | None:
    """Returns the share of a task's rows longer than `tokens`, None where nobody measured it.

    Rows of another model have other lengths: its tokenizer cuts words elsewhere.
    """
    if model_type != MEASURED or task not in row_lengths():
        return None
    measured = row_lengths()[task]
    longer = sum(rows for length, rows in measured["tokens"].items() if int(length) > tokens)
    return longer / measured["examples"]
