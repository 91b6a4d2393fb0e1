"""Encodes a data file with a bundle's template and tokenizer, for programs that have neither.

The file that it writes is all that build/native/pocketllm-train, or another program, needs of the
data (tflite_models/ENCODED.md). A file to train on may be one to evaluate too; with --training
options that are not trained on are left out, which makes it smaller. --split draws from --data as
`pocketllm train` does: the examples to train on go to --out, those to choose by to --dev_out.

examples:
  pocketllm encode --bundle=micro --data=train.tsv --out=train.rows
  pocketllm encode --bundle=rte-bundle --data=train.jsonl --split=reference --out=train.rows \\
      --dev_out=dev.rows
"""

from pathlib import Path

from absl import flags

from ..data.dataset import load_dataset
from ..encoded_file import write_encoded
from ..errors import InputError
from ..host.files import check_writable
from .flags import definer
from .shared import load_parts, open_bundle, required

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder, from `pocketllm export`")
define.string("data", None, "data file: .tsv, .txt or .csv with a header, .jsonl or .json")
define.string("out", None, "file to write")
define.string("dev_out", None, "file to write the dev examples of --split to")
define.string(
    "split", None, "draw training and dev examples: TRAIN/DEV, e.g. 800/200, or reference"
)
define.bool("training", False, "leave out options that are not trained on")
define.bool("force", False, "overwrite files that are there")


def run(values) -> dict:
    """Encodes; see the module's docstring."""
    required(values, "bundle", "data", "out")
    if (values.split is None) != (values.dev_out is None):
        raise InputError("--split and --dev_out go together; give both or neither")
    files = [Path(path) for path in (values.out, values.dev_out) if path]
    for path in files:
        if path.exists() and not values.force:
            raise InputError(f"{path}: exists already; choose another path or give --force")
        check_writable(path)
    bundle, split, is_training = open_bundle(values), None, [values.training]
    if values.split is None:
        parts = [load_dataset(values.data, bundle, training=values.training)]
    else:
        *parts, split = load_parts(values.data, bundle, values.split)
        is_training = [True, False]
    written = []
    for path, data, training in zip(files, parts, is_training, strict=True):
        write_encoded(path, data, bundle, training=training, split=split)
        print(f"{data.describe()}; {path}: {path.stat().st_size:,} bytes")
        written.append({"out": str(path), "examples": len(data.examples), **data.summary()})
    return written[0] | ({"dev": written[1]} if split else {})
