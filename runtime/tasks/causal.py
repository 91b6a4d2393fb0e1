"""Tasks of causal language models: a prompt, and the options that may follow it.

The model scores each option by its log-probability behind the prompt. The templates of `TASKS` are
those of MeZO's experiments with causal models, character by character.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

_TEMPLATE_TOKENS = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]")


@dataclass(frozen=True)
class CausalTask:
    """A task of scored options: template, options, and where the data has all of it.

    A row brings its options itself (`option_fields`, or the layout "record"), or each class has a
    word of its own.
    """

    name: str
    template: str  # {field}s, {{ and }} are braces; what is scored comes right behind
    columns: dict[str, tuple[str, ...]]  # field -> accepted columns, the first found is taken
    transforms: dict[str, str]  # field -> name in TRANSFORMS
    values: dict[str, dict[str, str]]  # field -> what the data says -> what the prompt says
    layout: str  # how the published rows are nested: a name in layouts.LAYOUTS
    labels: tuple[str, ...]  # as the data spells them; the position is the class or the option
    label_columns: tuple[str, ...]
    label_aliases: dict[str, str]  # another spelling in the data -> label
    words: tuple[str, ...]  # the option of each class, with its leading space if it has one
    option_fields: tuple[str, ...]  # the fields that are the options
    metrics: tuple[str, ...]  # names in metrics.METRICS, beside the accuracy
    split: tuple[int, ...]  # training and dev examples that the reference draws; () for own data

    skip_labels: ClassVar[tuple[str, ...]] = ()  # somebody labelled every row


def _without_full_stop(text: str) -> str:
    return text.rstrip().removesuffix(".")


def _as_question(text: str) -> str:
    text = text if text.endswith("?") else text + "?"
    return text[0].upper() + text[1:]


def _as_list(text: str) -> str:
    return text.replace("@highlight\n", "- ")


def _lower_first_word(text: str) -> str:
    first, space, rest = text.partition(" ")
    return (first if first == "I" else first.lower()) + space + rest


TRANSFORMS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lower": str.lower,
    "without_full_stop": _without_full_stop,  # nor white space behind it
    "as_question": _as_question,  # the first letter in upper case, "?" at the end
    "highlights_as_list": _as_list,  # "@highlight\n" becomes "- "
    "lower_first_word": _lower_first_word,  # but not "I"
}

_BOOLEANS = {"False": "false", "True": "true", "0": "false", "1": "true"}


def _task(name: str, template: str, columns, labels=(), words=(), dev: int = 500, **other):
    values = {
        "transforms": {},
        "values": {},
        "layout": "flat",
        "label_columns": ("label",),
        "label_aliases": {},
        "option_fields": (),
        "metrics": (),
        "split": (1000, dev),
    }
    if isinstance(columns, str):
        columns = {column: (column,) for column in columns.split()}
    return CausalTask(
        name=name, template=template, columns=columns, labels=labels, words=words, **values | other
    )


TASKS = {
    task.name: task
    for task in (
        _task(
            "sst2",
            "{sentence} It was",
            {"sentence": ("sentence", "text")},
            labels=("0", "1"),
            words=(" terrible", " great"),
            transforms={"sentence": "strip"},
        ),
        _task(
            "rte",
            '{premise}\nDoes this mean that "{hypothesis}" is true? Yes or No?\n',
            {"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")},
            labels=("entailment", "not_entailment"),
            words=("Yes", "No"),
            label_aliases={"0": "entailment", "1": "not_entailment"},
        ),
        _task(
            "cb",
            'Suppose {premise} Can we infer that "{hypothesis}"? Yes, No, or Maybe?\n',
            "premise hypothesis",
            labels=("entailment", "contradiction", "neutral"),
            words=("Yes", "No", "Maybe"),
            label_aliases={"0": "entailment", "1": "contradiction", "2": "neutral"},
            metrics=("macro_f1",),
            dev=100,
        ),
        _task(
            "boolq",
            "{passage} {question}\n",
            "passage question",
            labels=("true", "false"),
            words=("Yes", "No"),
            label_columns=("label", "answer"),
            label_aliases=_BOOLEANS,
            transforms={"question": "as_question"},
        ),
        _task(
            "wsc",
            '{text}\nIn the previous sentence, does the pronoun "{span2_text}" refer to '
            "{span1_text}? Yes or No?\n",
            "text span1_text span2_text",
            labels=("false", "true"),
            words=("No", "Yes"),
            label_aliases=_BOOLEANS,
            transforms={"span2_text": "lower"},
            layout="wsc",
        ),
        _task(
            "wic",
            'Does the word "{word}" have the same meaning in these two sentences? Yes, No?\n'
            "{sentence1}\n{sentence2}\n",
            "word sentence1 sentence2",
            labels=("false", "true"),
            words=("No", "Yes"),
            label_aliases=_BOOLEANS,
        ),
        _task(
            "multirc",
            '{paragraph}\nQuestion: {question}\nI found this answer "{answer}". Is that correct? '
            "Yes or No?\n",
            "paragraph question answer",
            labels=("0", "1"),
            words=("No", "Yes"),
            label_aliases={"false": "0", "true": "1", "False": "0", "True": "1"},
            layout="multirc",
            metrics=("f1_a", "exact_match"),
        ),
        _task(
            "copa",
            "{premise} {question} ",
            "premise question choice1 choice2",
            labels=("0", "1"),
            transforms={
                "premise": "without_full_stop",
                "choice1": "lower_first_word",
                "choice2": "lower_first_word",
            },
            values={"question": {"effect": "so", "cause": "because"}},
            option_fields=("choice1", "choice2"),
            dev=100,
        ),
        _task(
            "record",
            "{passage}\n-",
            "passage",
            label_columns=(),
            transforms={"passage": "highlights_as_list"},
            layout="record",
            metrics=("exact_match", "f1"),
        ),
    )
}


def template_tokens(template: str) -> list[str]:
    """Cuts a template into literal text, `{{`, `}}` and `{field}`s; a lone brace is one token."""
    return _TEMPLATE_TOKENS.findall(template)


def template_fields(template: str) -> list[str]:
    """Returns the names of a template's fields, in order."""
    return [token[1:-1] for token in template_tokens(template) if is_field(token)]


def fill(template: str, fields: dict[str, str]) -> str:
    """Puts the fields' texts into a template; braces in these texts stay what they are."""
    braces = {"{{": "{", "}}": "}"}
    return "".join(
        fields[token[1:-1]] if is_field(token) else braces.get(token, token)
        for token in template_tokens(template)
    )


def is_field(token: str) -> bool:
    """Tells whether a token of a template stands for a field."""
    return token[0] == "{" and token[-1] == "}" and len(token) > 1
