"""From a data file to encoded examples and batches of a bundle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .. import contract
from ..bundle.contents import Bundle
from ..errors import InputError
from ..host.files import sha256_of
from ..host.pages import release_freed_memory
from ..host.progress import Progress
from ..tasks.codec import Task
from ..tasks.draws import drawn, split_places
from ..tasks.text import LM, TextTask
from . import encode_causal, encode_masked, encode_text
from .batches import Batch, bucket_of, micro_batches, training_row
from .encoded import EncodedExample, RowFormat
from .reader import DataFile, Example
from .text_reader import TextFile, TextRow
from .tokenizer import load_tokenizer, tokenising

ENCODERS: dict[str, Callable[..., list[EncodedExample]]] = {
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
      cut: what cut them, in words.
      remedy: what to do against it, in words.
      skipped: number of rows left out because nobody could label them.
      labels: number in the file -> what it was read as.
      notes: sentences on how the file was read, where there was a choice.
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
    cut: str = ""
    remedy: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def buckets(self, lengths: Sequence[int]) -> set[int]:
        """Returns those of a bundle's lengths that batches of these examples have."""
        tokens = {len(s.input_ids) for example in self.examples for s in example.sequences}
        return {bucket_of(count, lengths) for count in tokens}

    def describe(self) -> str:
        """Returns one line on the file and its examples, and how it was read."""
        line = f"{self.path}: {len(self.examples)} examples{self.part}"
        if self.truncated:
            line += f", {self.truncated} truncated to fit {self.cut}"
            line += f" ({100 * self.truncated / len(self.examples):.1f}%)"
        if self.learnt_truncated:
            line += f", {self.learnt_truncated} of them in what is learnt"
        if tokens := self.learnt_tokens:
            line += f", {tokens:,} of {self.tokens:,} tokens learnt"
        if self.skipped:
            line += f", {self.skipped} without a label skipped"
        if self.labels:
            meanings = (f"{number} = {meaning}" for number, meaning in self.labels.items())
            line += f"; labels: {', '.join(meanings)}"
        return "; ".join([line, *self.notes])

    def summary(self) -> dict:
        """Returns what was cut, left out, and read in which way, for --json."""
        learnt = {
            "row_tokens": self.tokens,
            "learnt_tokens": self.learnt_tokens,
            "learnt_truncated": self.learnt_truncated,
        }
        return {
            "truncated": self.truncated,
            "skipped": self.skipped,
            "labels": self.labels,
            "notes": list(self.notes),
            **(learnt if self.learnt_tokens else {}),
        }

    @property
    def learnt_truncated(self) -> int:
        """The number of examples that lost tokens to learn; 0 of a task with labels."""
        return sum(example.learnt_truncated for example in self.examples)

    @property
    def learnt_tokens(self) -> int:
        """The number of tokens that are learnt; 0 of a task with labels."""
        return sum(example.learnt_tokens for example in self.examples)

    @property
    def tokens(self) -> int:
        """The number of tokens of all rows."""
        return sum(len(row.input_ids) for example in self.examples for row in example.sequences)


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
    file = data_file(Path(path), bundle.task)
    count = sum(1 for _ in file.examples()) if sample > 0 else 0
    if not 0 < sample < count:
        return _encoded(file, bundle, training=training)
    places, part = drawn(count, sample), f" drawn from {count}"
    return _encoded(file, bundle, training=training, places=places, part=part)


def load_split(path: str | Path, bundle: Bundle, train: int, dev: int) -> tuple[Dataset, Dataset]:
    """Reads a data file and draws the reference's (training, dev) data sets from it.

    Raises:
      InputError: as `load_dataset`, or nothing would be left to train on.
    """
    file = data_file(Path(path), bundle.task)
    count = sum(1 for _ in file.examples())
    places = split_places(count, train, dev)
    if not places[0]:
        raise InputError(
            f"{path}: found {count} examples, expected more than the {dev} that "
            f"--split={train}/{dev} keeps for the dev set; choose smaller numbers"
        )
    parts = (f" of {count}, to train on", f" of {count}, to choose the best step by")
    return (
        _encoded(file, bundle, training=True, places=places[0], part=parts[0]),
        _encoded(file, bundle, training=False, places=places[1], part=parts[1]),
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


def data_file(path: Path, task: Task) -> DataFile | TextFile:
    """Returns a data file of a task, not read yet."""
    return TextFile(path, task) if isinstance(task, TextTask) else DataFile(path, task)


def _chosen(file: DataFile | TextFile, places: Sequence[int]) -> Iterator[Example | TextRow]:
    """Yields some examples; a question that may miss answers cannot be judged as a whole."""
    wanted, chosen = set(places), {}
    for place, example in enumerate(file.examples()):
        if place in wanted:
            is_text = isinstance(example, TextRow)
            chosen[place] = example if is_text else replace(example, group=None)
    yield from (chosen[place] for place in places)


def row_format(bundle: Bundle) -> RowFormat:
    """Returns the format of a bundle's rows; loads the tokenizer."""
    return RowFormat(
        task=bundle.task,
        tokenizer=load_tokenizer(bundle.tokenizer_path),
        special=bundle.special_tokens,
        scoring=bundle.scoring,
        word_ids=bundle.word_ids,
        tokens=bundle.lengths[-1],
        option_tokens=bundle.option_tokens,
        chat=bundle.chat,
    )


def _encoded(
    file: DataFile | TextFile,
    bundle: Bundle,
    *,
    training: bool,
    places: Sequence[int] | None = None,
    part: str = "",
) -> Dataset:
    """Encodes the examples of a file for a bundle, or those at some places, row by row."""
    path, task, typed = file.path, bundle.task, {}
    cut, remedy = _limit(bundle)
    encode_all: Callable[..., list[EncodedExample]] = partial(
        ENCODERS[bundle.style], only_gold=training
    )
    if isinstance(task, TextTask):
        encode_all = partial(encode_text.encode_all, typed=typed)
    examples: Iterator = file.examples() if places is None else _chosen(file, places)
    total, rows = None if places is None else len(places), 0
    with (
        Progress(f"reading {path}", total, "example") as bar,
        tokenising(bundle.tokenizer_path, path),
    ):

        def advance(count):
            nonlocal rows
            rows += count
            bar.advance(count)

        encoded = encode_all(examples, row_format(bundle), path, progress=advance)
    release_freed_memory()  # the tokenizer of a large vocabulary had 200 MB
    if isinstance(task, TextTask) and task.form == LM:
        part = f" in windows of {rows} text{'s' * (rows != 1)}{part}"
    return Dataset(
        path=path,
        examples=encoded,
        truncated=sum(example.truncated for example in encoded),
        skipped=file.skipped,
        sha256=sha256_of(path),
        pad_id=bundle.special_tokens.pad,
        part=part,
        cut=cut,
        remedy=remedy,
        labels=file.meanings(),
        notes=(*file.notes, *encode_text.typed_note(typed)),
    )


def _limit(bundle: Bundle) -> tuple[str, str]:
    """Says what rows are cut to and why, and what to do against it."""
    longest = bundle.lengths[-1]
    if longest < bundle.max_tokens:
        limit = f"{longest} tokens, the longest of the bundle's lengths"
        return limit, f"export with longer --lengths, at most {bundle.max_tokens}"
    return f"{longest} tokens, all positions of the model", "give shorter rows"
