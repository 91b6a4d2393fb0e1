"""From a data file to encoded examples and batches of a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import contract
from ..bundle.contents import Bundle
from ..errors import InputError
from ..host.files import sha256_of
from ..host.progress import Progress
from ..tasks.draws import drawn, split_places
from . import encode_causal, encode_masked
from .batches import Batch, micro_batches, training_row
from .encoded import EncodedExample, RowFormat
from .reader import Example, read_examples
from .tokenizer import load_tokenizer

ENCODERS = {
    contract.MASKED: encode_masked.encode_all,
    contract.CAUSAL: encode_causal.encode_all,
}


@dataclass(frozen=True)
class Dataset:
    """Examples ready for a bundle.

    Attributes:
      path: the file.
      examples: encoded rows.
      truncated: number of examples that were cut to fit the longest bucket.
      skipped: number of rows left out because nobody could label them.
      sha256: of the file.
      pad_id: filler token.
      part: says in `describe` which examples of the file these are; empty for all.
    """

    path: Path
    examples: list[EncodedExample]
    truncated: int
    skipped: int
    sha256: str
    pad_id: int
    part: str = ""

    def describe(self) -> str:
        """Returns one line on the file and its examples."""
        line = f"{self.path}: {len(self.examples)} examples{self.part}"
        if self.truncated:
            line += f", {self.truncated} truncated to fit"
            line += f" ({100 * self.truncated / len(self.examples):.1f}%)"
        if self.skipped:
            line += f", {self.skipped} without a label skipped"
        return line


def load_dataset(
    path: str | Path, bundle: Bundle, training: bool = False, sample: int = 0
) -> Dataset:
    """Reads and encodes a data file with the bundle's own template and tokenizer.

    Args:
      path: the file.
      bundle: gives task, tokenizer and limits.
      training: encode no option that is not trained on; such a data set cannot be evaluated.
      sample: draw so many examples, as the reference does; 0 takes all.
    """
    examples, skipped = read_examples(path, bundle.task)
    if not 0 < sample < len(examples):
        return _encoded(path, bundle, examples, skipped, training=training)
    part = f" drawn from {len(examples)}"
    chosen = _ungrouped(examples, drawn(len(examples), sample))
    return _encoded(path, bundle, chosen, skipped, training=training, part=part)


def load_split(path: str | Path, bundle: Bundle, train: int, dev: int) -> tuple[Dataset, Dataset]:
    """Reads a data file and draws the reference's (training, dev) data sets from it.

    Raises:
      InputError: as `load_dataset`, or nothing would be left to train on.
    """
    examples, skipped = read_examples(path, bundle.task)
    places = split_places(len(examples), train, dev)
    if not places[0]:
        raise InputError(
            f"{path}: found {len(examples)} examples, expected more than the {dev} that "
            f"--split={train}/{dev} keeps for the dev set; choose smaller numbers"
        )
    of = f" of {len(examples)}"
    chosen_train, chosen_dev = (_ungrouped(examples, some) for some in places)
    return (
        _encoded(path, bundle, chosen_train, skipped, training=True, part=f"{of}, to train on"),
        _encoded(
            path,
            bundle,
            chosen_dev,
            skipped,
            training=False,
            part=f"{of}, to choose the best step by",
        ),
    )


def batches_of(
    dataset: Dataset, bundle: Bundle, members: Sequence[int] | None = None
) -> list[Batch]:
    """Packs training rows into micro-batches: the sizes that the bundle's signatures take.

    Args:
      dataset: encoded examples.
      bundle: gives a batch's rows and lengths, and which rows of an example are trained on.
      members: positions in `dataset.examples`, as from `step_members`; None takes all.
    """
    chosen = dataset.examples if members is None else [dataset.examples[i] for i in members]
    rows = [training_row(example, bundle.scoring) for example in chosen]
    return micro_batches(rows, bundle.batch_size, bundle.lengths, dataset.pad_id)


def _ungrouped(examples: list[Example], places: list[int]) -> list[Example]:
    """Returns some examples; a question that may miss answers cannot be judged as a whole."""
    return [replace(examples[place], group=None) for place in places]


def row_format(bundle: Bundle) -> RowFormat:
    """Returns the format of a bundle's rows; loads the tokenizer."""
    return RowFormat(
        task=bundle.task,
        tokenizer=load_tokenizer(bundle.tokenizer_path),
        special=bundle.special_tokens,
        scoring=bundle.scoring,
        word_ids=bundle.word_ids,
        tokens=bundle.lengths[-1],
        max_tokens=bundle.max_tokens,
        option_tokens=bundle.option_tokens,
    )


def _encoded(
    path: str | Path,
    bundle: Bundle,
    examples: list[Example],
    skipped: int,
    *,
    training: bool,
    part: str = "",
) -> Dataset:
    """Encodes examples of a file for a bundle."""
    encode_all = ENCODERS[bundle.style]
    with Progress(f"reading {path}", len(examples), "example") as bar:
        encoded = encode_all(examples, row_format(bundle), path, training, bar.advance)
    truncated = sum(example.truncated for example in encoded)
    path, pad_id = Path(path), bundle.special_tokens.pad
    return Dataset(path, encoded, truncated, skipped, sha256_of(path), pad_id, part)
