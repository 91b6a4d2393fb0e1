"""Measures how long the published rows of the OPT tasks are, for export/tasks/lengths.py.

example:
  python -m pocketllm.benchmarks.row_lengths --superglue=DIR --sst2=DIR \\
      --out=tflite_models/opt_row_lengths.json
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from absl import flags

from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.runtime.data.batches import training_row
from pocketllm.runtime.data.encode_causal import Limits, encode_all_options
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.tasks.causal import MAX_LENGTH, TASKS, scoring_of

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
flags.DEFINE_string("out", None, "file to write", flag_values=FLAGS)
flags.mark_flags_as_required(["superglue", "sst2", "out"], flag_values=FLAGS)


def row_lengths(name: str, path: Path) -> tuple[np.ndarray, int]:
    """Returns the tokens of every row that a task is trained on, and the longest option's."""
    task, tokenizer = TASKS[name], tokenizer_for(TOKENIZER)
    scoring = scoring_of(task, tokenizer)
    limits = Limits(scoring.kind, scoring.word_ids, tokens=MAX_LENGTH, option_tokens=MAX_LENGTH)
    examples = read_examples(path, task)[0]
    encoded = encode_all_options(examples, task, tokenizer, limits, path)
    options = [
        sequence.target.get("option_tokens", 0) for one in encoded for sequence in one.sequences
    ]
    return np.array([training_row(one, limits.scoring).tokens for one in encoded]), max(options)


def main() -> None:
    """Writes the number of rows of each length, and prints quantiles."""
    measured = {}
    for name, file in FILES.items():
        folder = FLAGS.sst2 if name == "sst2" else FLAGS.superglue
        lengths, option = row_lengths(name, Path(folder) / file)
        counts = sorted(Counter(lengths.tolist()).items())
        measured[name] = {"file": file, "examples": len(lengths), "tokens": dict(counts)}
        quantiles = np.quantile(lengths, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)).astype(int)
        of = f"{name}: {len(lengths)} rows"
        print(f"{of}, quantiles {quantiles.tolist()}, longest option {option}")
    write_json(Path(FLAGS.out), measured)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
