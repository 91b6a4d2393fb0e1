"""Tasks: what stands around a sentence, which words answer for the labels, where the data has both.

A prompt is a sequence of pieces, each tokenised on its own and then joined. Spaces therefore belong
to the piece that follows them: byte-level BPE keeps a space in the token after it, and the label
words (" great") bring their own. The templates of `TASKS` are those of MeZO's RoBERTa experiments.
"""

import dataclasses
import json
import re
import types
import typing
from dataclasses import dataclass

from .errors import InputError

# The longest input RoBERTa takes; for the user's own data the buckets of the bundle decide.
TEXT_MAX_LENGTH = 512
_EXAMPLE_PROMPT = '--prompt="{text} It was{mask}."'
_EXAMPLE_WORDS = '--label_words="0: terrible,1: great"'


@dataclass(frozen=True)
class Piece:
    """One part of a template: a literal text, the mask slot, or a field of the example."""

    kind: str  # "literal", "mask" or "field"
    text: str = ""  # the literal, or the name of the field
    drop_last_char: bool = False  # a premise without its full stop
    lower_first: bool = False  # the first character in lower case
    leading_space: bool = False  # a space before the field, after the changes above


@dataclass(frozen=True)
class Task:
    """A classification task by prompt: template, labels, and the columns of its data files."""

    name: str
    pieces: tuple[Piece, ...]
    labels: tuple[str, ...]  # as the data spells them; the position is the class
    words: tuple[str, ...]  # the label word of each class, with its leading space
    columns: dict[str, tuple[str, ...]]  # field -> accepted columns, the first found is taken
    label_columns: tuple[str, ...]
    label_aliases: dict[str, str]  # another spelling in the data -> label
    skip_labels: tuple[str, ...]  # rows that nobody could label
    max_length: int  # tokens, <s> and </s> included
    first_field_reserve: int | None  # tokens kept free after the first field


MASK = Piece("mask")


def literal(text: str) -> Piece:
    """Returns the piece that stands for itself."""
    return Piece("literal", text)


def field(name: str, **flags: bool) -> Piece:
    """Returns the piece that stands for the field `name` of the example."""
    return Piece("field", name, **flags)


def _sentiment(name: str, words: tuple[str, ...], reserve: int | None) -> Task:
    return Task(
        name=name,
        pieces=(field("sentence"), literal(" It was"), MASK, literal(".")),
        labels=tuple(str(i) for i in range(len(words))),
        words=words,
        columns={"sentence": ("sentence", "text")},
        label_columns=("label",),
        label_aliases={},
        skip_labels=(),
        max_length=128,
        first_field_reserve=reserve,
    )


def _inference(name: str, words: dict[str, str], labels: tuple[str, ...], **other) -> Task:
    return Task(
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
        label_aliases={},
        max_length=256,
        **other,
    )


_THREE_WAY = {
    "labels": ("contradiction", "entailment", "neutral"),
    "words": {"contradiction": " No", "entailment": " Yes", "neutral": " Maybe"},
    "label_columns": ("gold_label", "label"),
    "skip_labels": ("-",),
}

# A reserve keeps the reference's limit on the first sentence at the reference's length: 110 of 128
# tokens, 240 of 256. SST-2 and SNLI have no limit there.
TASKS = {
    task.name: task
    for task in (
        _sentiment("sst2", (" terrible", " great"), None),
        _sentiment("sst5", (" terrible", " bad", " okay", " good", " great"), 18),
        _inference("snli", first_field_reserve=None, **_THREE_WAY),
        _inference("mnli", first_field_reserve=16, **_THREE_WAY),
        _inference(
            "rte",
            labels=("entailment", "not_entailment"),
            words={"entailment": " Yes", "not_entailment": " No"},
            label_columns=("label",),
            skip_labels=(),
            first_field_reserve=16,
        ),
        Task(
            name="trec",
            pieces=(MASK, literal(":"), field("text", leading_space=True)),
            labels=("0", "1", "2", "3", "4", "5"),
            words=(" Description", " Entity", " Expression", " Human", " Location", " Number"),
            columns={"text": ("text", "sentence")},
            label_columns=("label",),
            label_aliases=dict(zip(("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"), "012345")),
            skip_labels=(),
            max_length=128,
            first_field_reserve=18,
        ),
    )
}


def text_task(prompt: str, label_words: str) -> Task:
    """Builds the task of the user's own data from the two flags.

    Spaces go where byte-level BPE wants them: one space before a field becomes the field's leading
    space, and one space before `{mask}` is dropped, because every label word gets a leading space,
    also where the mask starts the prompt (as in TREC). `{{` and `}}` are literal braces.

    Args:
      prompt: for example "{text} It was{mask}."; a field is the name of a column or JSON key.
      label_words: for example "0: terrible,1: great"; label as the data spells it, then its word.
    """
    pieces = _parse_prompt(prompt)
    pairs = _parse_label_words(label_words)
    return Task(
        name="text",
        pieces=pieces,
        labels=tuple(label for label, _ in pairs),
        words=tuple(" " + word for _, word in pairs),
        columns={piece.text: (piece.text,) for piece in pieces if piece.kind == "field"},
        label_columns=("label",),
        label_aliases={},
        skip_labels=(),
        max_length=TEXT_MAX_LENGTH,
        first_field_reserve=None,
    )


def _parse_prompt(prompt: str) -> tuple[Piece, ...]:
    def error(problem: str) -> InputError:
        return InputError(f"--prompt={prompt!r}: {problem}; write for example {_EXAMPLE_PROMPT}")

    pieces, text = [], ""
    for token in [*re.findall(r"\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]", prompt), None]:
        if token is not None and (token in ("{{", "}}") or token[0] not in "{}"):
            text += {"{{": "{", "}}": "}"}.get(token, token)
            continue
        if token in ("{", "}"):
            raise error(f"found a lone {token!r}, expected a pair (a literal brace is doubled)")
        # The space before a field or the mask is not the literal's: see `text_task`.
        space = token is not None and text.endswith(" ")
        text = text[:-1] if space else text
        if text:
            pieces.append(literal(text))
        if token == "{mask}":
            pieces.append(MASK)
        elif token is not None:
            name = token[1:-1]
            if not name or name != name.strip():
                raise error(f"found {token!r}, expected the name of a field in the braces")
            pieces.append(field(name, leading_space=space))
        text = ""
    masks = pieces.count(MASK)
    if masks != 1:
        raise error(f"found {masks} times {{mask}}, expected exactly one")
    if not any(piece.kind == "field" for piece in pieces):
        raise error("found no field, expected at least one such as {text}")
    return tuple(pieces)


def _parse_label_words(label_words: str) -> list[tuple[str, str]]:
    def error(problem: str) -> InputError:
        flag = f"--label_words={label_words!r}"
        return InputError(f"{flag}: {problem}; write for example {_EXAMPLE_WORDS}")

    pairs = []
    for part in label_words.split(","):
        label, _, word = (side.strip() for side in part.partition(":"))
        if not label or not word:
            raise error(f"found {part!r}, expected label:word")
        pairs.append((label, word))
    if len(pairs) < 2:
        raise error(f"found {len(pairs)} label, expected at least 2")
    for what, names in (("label", [p[0] for p in pairs]), ("word", [p[1] for p in pairs])):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise error(f"found the {what} {twice[0]!r} twice, expected each once")
    return pairs


def to_json(task: Task) -> dict:
    """Returns the task as plain JSON values, for bundle.json."""
    return json.loads(json.dumps(dataclasses.asdict(task)))


def from_json(entry: object) -> Task:
    """Rebuilds the task from bundle.json; a file from elsewhere, so every entry is checked."""
    task = _typed(entry, Task, "task")
    problem = _problem(task)
    if problem:
        raise InputError(f"bundle.json: task: {problem}; export the bundle again")
    return task


def _typed(value: object, hint, where: str):
    """Returns the JSON `value` as the type `hint`, the annotation of a dataclass field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # int | None
        return None if value is None else _typed(value, args[0], where)
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(item, args[0], f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _typed(item, args[1], f"{where}[{key!r}]") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = {f.name: f.type for f in dataclasses.fields(hint)}
        if value.keys() == hints.keys():
            return hint(**{key: _typed(value[key], hints[key], f"{where}.{key}") for key in hints})
    elif type(value) is hint:  # not isinstance: True is an int
        return value
    names = {str: "a string", int: "a whole number", bool: "true or false", tuple: "a list"}
    expected = names.get(origin or hint, "an object")
    if dataclasses.is_dataclass(hint):
        expected = f"an object of exactly {', '.join(f.name for f in dataclasses.fields(hint))}"
    found = f"an object of {list(value)!r}" if isinstance(value, dict) else repr(value)
    raise InputError(
        f"bundle.json: {where}: found {found[:300]}, expected {expected}; export the bundle again"
    )


def _problem(task: Task) -> str | None:
    """Returns what makes a well-typed task unusable, None for a usable one."""
    kinds = [piece.kind for piece in task.pieces]
    fields = {piece.text for piece in task.pieces if piece.kind == "field"}
    classes = len(task.labels)
    reserve = 0 if task.first_field_reserve is None else task.first_field_reserve
    spelled = set(task.label_aliases.values())
    checks = (
        (set(kinds) <= {"literal", "mask", "field"}, f"piece kinds {kinds!r} hold an unknown one"),
        (kinds.count("mask") == 1, f"found {kinds.count('mask')} masks, expected exactly one"),
        (bool(fields), "found no field, expected at least one"),
        (
            fields == {name for name, columns in task.columns.items() if columns},
            f"columns for {sorted(task.columns)!r}, expected some for each of {sorted(fields)!r}",
        ),
        (bool(task.label_columns), "found no label column, expected at least one"),
        (classes >= 2, f"found {classes} labels, expected at least 2"),
        (len(task.words) == classes, f"found {len(task.words)} words for {classes} labels"),
        (len(set(task.labels)) == classes, f"labels {task.labels!r} are not distinct"),
        (len(set(task.words)) == classes, f"words {task.words!r} are not distinct"),
        (spelled <= set(task.labels), f"label aliases lead to {sorted(spelled)!r}, not all labels"),
        (task.max_length >= 1, f"found max_length {task.max_length}, expected at least 1"),
        (0 <= reserve < task.max_length, f"first_field_reserve {reserve} is not below max_length"),
    )
    return next((problem for good, problem in checks if not good), None)


def label_word_ids(task: Task, tokenizer) -> tuple[int, ...]:
    """Returns the token id of each class's label word: one token each, all distinct."""
    ids = []
    for label, word in zip(task.labels, task.words):
        found = tokenizer.encode(word, add_special_tokens=False)
        if len(found.ids) != 1 or found.ids[0] == tokenizer.token_to_id("<unk>"):
            raise InputError(
                f"label word {word!r} of label {label!r}: found the tokens {found.tokens!r}, "
                "expected exactly one known token; choose a shorter, more common word"
            )
        if found.ids[0] in ids:
            raise InputError(
                f"label word {word!r} of label {label!r}: found token {found.ids[0]}, which "
                "another label has too, expected distinct tokens; choose another word"
            )
        ids.append(found.ids[0])
    return tuple(ids)
