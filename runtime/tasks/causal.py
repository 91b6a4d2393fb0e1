"""Tasks of causal language models: a prompt, and the options that may follow it.

The model scores each option by its log-probability behind the prompt. The templates of `TASKS` are
those of MeZO's experiments with causal models, character by character.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class WordChoice:
    """The options are words of the task's own, one a label."""

    kind: ClassVar[str] = "words"
    words: tuple[str, ...]  # in label order, each with its leading space if it has one
    labels: tuple[str, ...]  # as the data spells them; the position is the class
    label_columns: tuple[str, ...]
    label_aliases: dict[str, str]  # another spelling in the data -> label

    @property
    def shown(self) -> tuple[str, ...]:
        """The options for people to read."""
        return tuple(map(repr, self.words))


@dataclass(frozen=True)
class FieldChoice:
    """The options are fields of the row, one a label."""

    kind: ClassVar[str] = "fields"
    fields: tuple[str, ...]  # in label order
    labels: tuple[str, ...]  # as the data spells them; the position is the option
    label_columns: tuple[str, ...]
    label_aliases: dict[str, str]  # another spelling in the data -> label

    @property
    def shown(self) -> tuple[str, ...]:
        """The options for people to read."""
        return self.fields


@dataclass(frozen=True)
class RowChoice:
    """The layout gives each row its options, with the right ones: there are no labels."""

    kind: ClassVar[str] = "row"
    labels: ClassVar[tuple[str, ...]] = ()
    label_columns: ClassVar[tuple[str, ...]] = ()
    label_aliases: ClassVar[dict[str, str]] = {}
    shown: ClassVar[tuple[str, ...]] = ("those of each row",)


@dataclass(frozen=True)
class CausalTask:
    """A task of scored options: the prompt, its options, and where the data has both."""

    name: str
    template: str  # {field}s, {{ and }} are braces; what is scored comes right behind
    columns: dict[str, tuple[str, ...]]  # field -> accepted columns, the first that is there
    transforms: dict[str, str]  # field -> name in TRANSFORMS
    values: dict[str, dict[str, str]]  # field -> what the data says -> what the prompt says
    layout: str  # how the published rows are nested: a name in rows.LAYOUTS
    choice: WordChoice | FieldChoice | RowChoice  # where the options come from
    metrics: tuple[str, ...]  # names in metrics.METRICS, beside the accuracy
    split: tuple[int, ...]  # training and dev examples that the reference draws; () for own data

    # Masked tasks choose these; published data of causal ones has no need of them.
    skip_labels: ClassVar[tuple[str, ...]] = ()
    label_numbers: ClassVar[dict[str, tuple[str, ...]]] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, as the data spells them; () where the row says which option is right."""
        return self.choice.labels

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The accepted columns of the label."""
        return self.choice.label_columns

    @property
    def label_aliases(self) -> dict[str, str]:
        """Other spellings of the labels."""
        return self.choice.label_aliases

    @property
    def words(self) -> tuple[str, ...]:
        """The words that answer for the labels; () where the options are the row's."""
        return self.choice.words if isinstance(self.choice, WordChoice) else ()


_BOOLEANS = {"False": "false", "True": "true", "0": "false", "1": "true"}


def _task(name: str, template: str, columns, choice, dev: int = 500, **other) -> CausalTask:
    values = {
        "transforms": {},
        "values": {},
        "layout": "flat",
        "metrics": (),
        "split": (1000, dev),
    }
    if isinstance(columns, str):
        columns = {column: (column,) for column in columns.split()}
    return CausalTask(
        name=name, template=template, columns=columns, choice=choice, **values | other
    )


def _words(words: dict[str, str], aliases: dict[str, str], *columns: str) -> WordChoice:
    return WordChoice(
        tuple(words.values()), labels=tuple(words), label_columns=columns, label_aliases=aliases
    )


TASKS = {
    task.name: task
    for task in (
        _task(
            "sst2",
            "{sentence} It was",
            {"sentence": ("sentence", "text")},
            _words({"0": " terrible", "1": " great"}, {"negative": "0", "positive": "1"}, "label"),
            transforms={"sentence": "strip"},
        ),
        _task(
            "rte",
            '{premise}\nDoes this mean that "{hypothesis}" is true? Yes or No?\n',
            {"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")},
            _words(
                {"entailment": "Yes", "not_entailment": "No"},
                {"0": "entailment", "1": "not_entailment"},
                "label",
            ),
        ),
        _task(
            "cb",
            'Suppose {premise} Can we infer that "{hypothesis}"? Yes, No, or Maybe?\n',
            "premise hypothesis",
            _words(
                {"entailment": "Yes", "contradiction": "No", "neutral": "Maybe"},
                {"0": "entailment", "1": "contradiction", "2": "neutral"},
                "label",
            ),
            metrics=("macro_f1",),
            dev=100,
        ),
        _task(
            "boolq",
            "{passage} {question}\n",
            "passage question",
            _words({"true": "Yes", "false": "No"}, _BOOLEANS, "label", "answer"),
            transforms={"question": "as_question"},
        ),
        _task(
            "wsc",
            '{text}\nIn the previous sentence, does the pronoun "{span2_text}" refer to '
            "{span1_text}? Yes or No?\n",
            "text span1_text span2_text",
            _words({"false": "No", "true": "Yes"}, _BOOLEANS, "label"),
            transforms={"span2_text": "lower"},
            layout="wsc",
        ),
        _task(
            "wic",
            'Does the word "{word}" have the same meaning in these two sentences? Yes, No?\n'
            "{sentence1}\n{sentence2}\n",
            "word sentence1 sentence2",
            _words({"false": "No", "true": "Yes"}, _BOOLEANS, "label"),
        ),
        _task(
            "multirc",
            '{paragraph}\nQuestion: {question}\nI found this answer "{answer}". Is that correct? '
            "Yes or No?\n",
            "paragraph question answer",
            _words(
                {"0": "No", "1": "Yes"},
                {"false": "0", "true": "1", "False": "0", "True": "1"},
                "label",
            ),
            layout="multirc",
            metrics=("f1_a", "exact_match"),
        ),
        _task(
            "copa",
            "{premise} {question} ",
            "premise question choice1 choice2",
            FieldChoice(
                ("choice1", "choice2"), ("0", "1"), ("label",), {"choice1": "0", "choice2": "1"}
            ),
            transforms={
                "premise": "without_full_stop",
                "choice1": "lower_first_word",
                "choice2": "lower_first_word",
            },
            values={"question": {"effect": "so", "cause": "because"}},
            dev=100,
        ),
        _task(
            "record",
            "{passage}\n-",
            "passage",
            RowChoice(),
            transforms={"passage": "highlights_as_list"},
            layout="record",
            metrics=("exact_match", "f1"),
        ),
    )
}
