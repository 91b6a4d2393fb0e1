"""Measures how long the published rows of the OPT tasks are, for export/task_lengths.py.

example:
  python -m pocketllm.benchmarks.task_lengths --superglue=DIR --sst2=DIR
"""

import sys
from pathlib import Path

import numpy as np
from absl import flags

from pocketllm.export.task_lengths import TOKENS
from pocketllm.export.tokenizer import tokenizer_for
from pocketllm.runtime.batching import training_row
from pocketllm.runtime.data import read_examples
from pocketllm.runtime.option_encode import Limits, encode_all_options
from pocketllm.runtime.option_tasks import MAX_LENGTH, TASKS, scoring_of

TOKENIZER = Path(__file__).resolve().parents[1] / "tflite_models" / "roberta_tokenizer"
# task -> file under --superglue (--sst2 for sst2), the training rows or the nearest there is
FILES = {
    "sst2": "train.tsv",
    "rte": "RTE/train.jsonl",
    "cb": "CB/train.jsonl",
    "boolq": "BoolQ/train_1000_original_format.jsonl",
    "wsc": "WSC/train.jsonl",
    "wic": "WiC/train.jsonl",
    "multirc": "MultiRC/train.jsonl",
    "copa": "COPA/train.jsonl",
    "record": "ReCoRD/fewglue_train.jsonl",
}

FLAGS = flags.FlagValues()
flags.DEFINE_string("superglue", None, "folder of SuperGLUE's jsonl files", flag_values=FLAGS)
flags.DEFINE_string("sst2", None, "folder of SST-2's tsv files", flag_values=FLAGS)
flags.mark_flags_as_required(["superglue", "sst2"], flag_values=FLAGS)


def row_lengths(name: str, path: Path) -> tuple[np.ndarray, int]:
    """Returns the tokens of every row that a task is trained on, and the longest option's."""
    task, tokenizer = TASKS[name], tokenizer_for(TOKENIZER)
    limits = Limits(*scoring_of(task, tokenizer), tokens=MAX_LENGTH, option_tokens=MAX_LENGTH)
    examples = read_examples(path, task)[0]
    encoded = encode_all_options(examples, task, tokenizer, limits, path)
    options = [
        sequence.target.get("option_tokens", 0) for one in encoded for sequence in one.sequences
    ]
    return np.array([training_row(one, limits.scoring).tokens for one in encoded]), max(options)


def main() -> None:
    """Prints, for each task, what export/task_lengths.py holds, and quantiles."""
    for name, file in FILES.items():
        folder = FLAGS.sst2 if name == "sst2" else FLAGS.superglue
        lengths, option = row_lengths(name, Path(folder) / file)
        shares = ", ".join(f"{np.mean(lengths > tokens):.4f}" for tokens in TOKENS)
        print(f'"{name}": ({shares}),  # {file}, {len(lengths)} examples')
        quantiles = np.quantile(lengths, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)).astype(int)
        print(f"  quantiles {quantiles.tolist()}, longest option {option}", file=sys.stderr)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
