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

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.tokenizer import special_ids, tokenizer_for
from pocketllm.export.models.opt import ARCHITECTURE
from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.data.batches import training_row
from pocketllm.runtime.data.encode_causal import encode_all
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.tasks.causal import TASKS

SPELLINGS = ARCHITECTURE.special_tokens
TOKENIZER = Path(__file__).resolve().parents[1] / "tflite_models" / "roberta_tokenizer"
LONGEST_ROW = 2048  # to which the authors of MeZO cut the rows of any OPT
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
define = definer(FLAGS)
define.string("superglue", None, "folder of SuperGLUE's jsonl files")
define.string("sst2", None, "folder of SST-2's tsv files")
define.string("out", None, "file to write")
flags.mark_flags_as_required(["superglue", "sst2", "out"], flag_values=FLAGS)


def row_lengths(name: str, path: Path) -> tuple[np.ndarray, int]:
    """Measures the rows of a task.

    Args:
      name: of the task.
      path: its published rows.

    Returns:
      The tokens of each row that is trained on, [rows], and those of the longest option.
    """
    task, tokenizer = TASKS[name], tokenizer_for(TOKENIZER)
    scoring = scoring_of(task, tokenizer)
    row_format = RowFormat(
        task=task,
        tokenizer=tokenizer,
        special=special_ids(tokenizer, SPELLINGS, contract.CAUSAL),
        scoring=scoring.kind,
        word_ids=scoring.word_ids,
        tokens=LONGEST_ROW,
        option_tokens=LONGEST_ROW,
    )
    encoded = encode_all(read_examples(path, task)[0], row_format, path)
    options = [
        sequence.target.get(contract.OPTION_TOKENS, 0)
        for example in encoded
        for sequence in example.sequences
    ]
    lengths = [training_row(example, scoring.kind).tokens for example in encoded]
    return np.array(lengths), max(options)


def main() -> None:
    """Writes the number of rows of each length, and prints quantiles."""
    measured = {}
    for name, file in FILES.items():
        folder = FLAGS.sst2 if name == "sst2" else FLAGS.superglue
        lengths, option = row_lengths(name, Path(folder) / file)
        counts = sorted(Counter(lengths.tolist()).items())
        measured[name] = {"file": file, "examples": len(lengths), "tokens": dict(counts)}
        quantiles = np.quantile(lengths, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)).astype(int)
        print(
            f"{name}: {len(lengths)} rows, quantiles {quantiles.tolist()}, longest option {option}"
        )
    write_json(Path(FLAGS.out), measured)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
