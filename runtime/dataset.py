"""From a data file to encoded examples and batches of a bundle."""

from dataclasses import dataclass
from pathlib import Path

from .batching import Batch, micro_batches
from .bundle import Bundle
from .data import read_examples
from .encode import Encoded, encode_all, load_tokenizer, special_ids
from .files import sha256_of


@dataclass(frozen=True)
class Dataset:
    """Examples ready for a bundle.

    Attributes:
      path: the file.
      examples: encoded rows.
      truncated: how many did not fit the longest bucket whole.
      skipped: rows the task's format leaves out (no gold label).
      sha256: of the file.
      pad_id: filler token.
    """

    path: Path
    examples: list[Encoded]
    truncated: int
    skipped: int
    sha256: str
    pad_id: int

    def describe(self) -> str:
        """Says what was read, in one line."""
        line = f"{self.path}: {len(self.examples)} examples"
        if self.truncated:
            line += f", {self.truncated} truncated to fit"
        if self.skipped:
            line += f", {self.skipped} without a label skipped"
        return line


def load_dataset(path: str | Path, bundle: Bundle) -> Dataset:
    """Reads and encodes a data file with the bundle's own template and tokenizer."""
    tokenizer = load_tokenizer(bundle.tokenizer_path)
    examples, skipped = read_examples(path, bundle.task)
    max_length = min(bundle.task.max_length, bundle.lengths[-1])
    encoded, truncated = encode_all(examples, bundle.task, tokenizer, max_length)
    pad_id = special_ids(tokenizer).pad
    return Dataset(Path(path), encoded, truncated, skipped, sha256_of(path), pad_id)


def batches_of(dataset: Dataset, bundle: Bundle, members: list[int] | None = None) -> list[Batch]:
    """Packs a dataset, or some of its members, into micro-batches of the bundle's shapes."""
    chosen = dataset.examples if members is None else [dataset.examples[i] for i in members]
    return micro_batches(chosen, bundle.batch_size, bundle.lengths, dataset.pad_id)
