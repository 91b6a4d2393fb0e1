"""Makes the stand-in tokenizer, for presets whose own tokenizer does not come with the package.

    python -m pocketllm.tflite_models.micro.stand_in --out=DIR

It is GPT-2's byte-level BPE, cut to ids that every preset has: the most frequent merges, and those
that make one token of every label word.
"""

import json
import pathlib

from absl import app, flags
from tokenizers import pre_tokenizers

from pocketllm.runtime.host.files import write_bytes
from pocketllm.runtime.tasks import causal, masked

from ..presets import STAND_IN, TOKENIZER
from . import tokenizer as bpe

FLAGS = flags.FLAGS

MERGES = 16_000


def stand_in_files() -> dict[str, str]:
    """Returns {name: text} of the two tokenizer files."""
    lines = (TOKENIZER / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines[1:])]
    needed = _pieces_of_label_words({"".join(pair): pair for pair in reversed(merges)})
    kept = merges[:MERGES] + [pair for pair in merges[MERGES:] if "".join(pair) in needed]
    tokens = [bpe.BOS, bpe.PAD, bpe.EOS, bpe.UNK]
    tokens += sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens += [*map("".join, kept), bpe.MASK]
    vocab = {token: number for number, token in enumerate(tokens)}
    names = {
        "bos_token": bpe.BOS, "cls_token": bpe.BOS, "eos_token": bpe.EOS, "sep_token": bpe.EOS,
        "pad_token": bpe.PAD, "unk_token": bpe.UNK, "mask_token": bpe.MASK,
    }  # fmt: skip
    config = names | {"tokenizer_class": "PreTrainedTokenizerFast"}
    return {
        "tokenizer.json": bpe.roberta_tokenizer(vocab, kept).to_str(pretty=False),
        "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
    }


def _pieces_of_label_words(halves):
    """Returns the tokens that the label words are, and all that these are merged from."""
    words = {w for tasks in (masked.TASKS, causal.TASKS) for t in tasks.values() for w in t.words}
    pieces, waiting = set(), [word.replace(" ", "Ġ") for word in words]
    while waiting:
        token = waiting.pop()
        if token in halves and token not in pieces:
            pieces.add(token)
            waiting += halves[token]
    return pieces


def main(_):
    """Writes the files."""
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in stand_in_files().items():
        write_bytes(out / name, text.encode("utf-8"))


if __name__ == "__main__":
    flags.DEFINE_string("out", str(STAND_IN), "folder to write")
    app.run(main)
