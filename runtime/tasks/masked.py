"""Tasks of masked language models: a prompt with a mask, and the words that answer for labels.

A prompt is a sequence of pieces, each tokenised on its own and then joined. Spaces therefore belong
to the piece that follows them: byte-level BPE keeps a space in the token after it, and the label
words (" great") bring their own. The templates of `TASKS` are those of MeZO's RoBERTa experiments.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Piece:
    """One part of a template: a literal text, the mask slot, or a field of the example."""

    kind: str  # "literal", "mask" or "field"
    text: str = ""  # the literal, or the name of the field
    drop_last_char: bool = False  # a premise without its full stop
    lower_first: bool = False  # the first character in lower case
    leading_space: bool = False  # a space before the field, after the changes above


@dataclass(frozen=True)
class MaskedTask:
    """A classification task by prompt: template, labels, and the columns of its data files."""

    name: str
    pieces: tuple[Piece, ...]
    labels: tuple[str, ...]  # as the data spells them; the position is the class
    words: tuple[str, ...]  # the label word of each class, with its leading space
    columns: dict[str, tuple[str, ...]]  # field -> accepted columns, the first that is there
    label_columns: tuple[str, ...]
    label_aliases: dict[str, str]  # another spelling in the data -> label
    label_numbers: dict[str, tuple[str, ...]]  # label column -> labels of its numbers 0, 1, …
    skip_labels: tuple[str, ...]  # rows that nobody could label
    first_field_reserve: int | None  # tokens kept free after the first field

    # Causal tasks choose these; they are the same for all masked ones.
    layout: ClassVar[str] = "flat"
    values: ClassVar[dict[str, dict[str, str]]] = {}
    metrics: ClassVar[tuple[str, ...]] = ()
    split: ClassVar[tuple[int, ...]] = ()

    @property
    def template(self) -> str:
        """The prompt for people to read: fields and the mask in braces."""
        shown = {"mask": "{mask}", "field": "{%s}"}
        return "".join(
            shown.get(piece.kind, "%s").replace("%s", piece.text) for piece in self.pieces
        )


MASK = Piece("mask")


def literal(text: str) -> Piece:
    """Returns the piece that stands for itself."""
    return Piece("literal", text)


def field(name: str, **flags: bool) -> Piece:
    """Returns the piece that stands for the field `name` of the example."""
    return Piece("field", name, **flags)


def _sentiment(
    name: str, words: tuple[str, ...], names: dict[str, str], reserve: int | None
) -> MaskedTask:
    return MaskedTask(
        name=name,
        pieces=(field("sentence"), literal(" It was"), MASK, literal(".")),
        labels=tuple(str(i) for i in range(len(words))),
        words=words,
        columns={"sentence": ("sentence", "text")},
        label_columns=("label",),
        label_aliases=names,
        label_numbers={},
        skip_labels=(),
        first_field_reserve=reserve,
    )


def _inference(name: str, words: dict[str, str], labels: tuple[str, ...], **other) -> MaskedTask:
    return MaskedTask(
        name=name,
        pieces=(
            field("premise", drop_last_char=True),
            literal("?"),
            MASK,
            literal(","),
            field("hypothesis", lower_first=True, leading_space=True),
        ),
        labels=labels,
        words=tuple(words[label] for label in labels),
        columns={"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")},
        label_numbers={},
        **other,
    )


_THREE_WAY = {
    "labels": ("contradiction", "entailment", "neutral"),
    "words": {"contradiction": " No", "entailment": " Yes", "neutral": " Maybe"},
    "label_columns": ("gold_label", "label"),
    "label_aliases": {"0": "entailment", "1": "neutral", "2": "contradiction"},  # the Hub's
    "skip_labels": ("-",),
}
_POLARITY = {"negative": "0", "positive": "1"}
_FIVE_POLARITIES = {
    "very negative": "0", "negative": "1", "neutral": "2", "positive": "3", "very positive": "4",
}  # fmt: skip
# The classes of TREC's questions. Their numbers are MeZO's; the Hub's data set has two other
# orders, each under a column name of its own.
_TREC = {"DESC": "0", "ENTY": "1", "ABBR": "2", "HUM": "3", "LOC": "4", "NUM": "5"}
_TREC_ORDERS = {
    "coarse_label": ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
    "label-coarse": ("DESC", "ENTY", "ABBR", "HUM", "NUM", "LOC"),
}

# A reserve keeps the reference's limit on the first sentence at the reference's length: 110 of 128
# tokens, 240 of 256. SST-2 and SNLI have no limit there.
TASKS = {
    task.name: task
    for task in (
        _sentiment("sst2", (" terrible", " great"), _POLARITY, None),
        _sentiment("sst5", (" terrible", " bad", " okay", " good", " great"), _FIVE_POLARITIES, 18),
        _inference("snli", first_field_reserve=None, **_THREE_WAY),
        _inference("mnli", first_field_reserve=16, **_THREE_WAY),
        _inference(
            "rte",
            labels=("entailment", "not_entailment"),
            words={"entailment": " Yes", "not_entailment": " No"},
            label_columns=("label",),
            label_aliases={"0": "entailment", "1": "not_entailment"},
            skip_labels=(),
            first_field_reserve=16,
        ),
        MaskedTask(
            name="trec",
            pieces=(MASK, literal(":"), field("text", leading_space=True)),
            labels=("0", "1", "2", "3", "4", "5"),
            words=(" Description", " Entity", " Expression", " Human", " Location", " Number"),
            columns={"text": ("text", "sentence")},
            label_columns=(*_TREC_ORDERS, "label"),
            label_aliases=_TREC
            | dict(
                zip(
                    ("Description", "Entity", "Expression", "Human", "Location", "Number"), "012345"
                )
            ),
            label_numbers={
                column: tuple(_TREC[name] for name in order)
                for column, order in _TREC_ORDERS.items()
            },
            skip_labels=(),
            first_field_reserve=18,
        ),
    )
}
