"""Published rows to examples: WSC's nested spans, MultiRC's passages, ReCoRD's queries.

Each layout also reads the flat rows that Hugging Face makes of the same data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import InputError

PLACEHOLDER = "@placeholder"


@dataclass(frozen=True)
class Part:
    """One example of a row.

    Attributes:
      where: file and line, and the place in a nested row.
      values: column -> value.
      group: key that the examples of one question share, or None.
      options: texts that may follow the prompt, where the row lists them.
      answers: the answer that each option stands for, likewise.
      golds: the right options, the first is trained on; () where a label column says it.
    """

    where: str
    values: dict[str, object]
    group: str | None = None
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    golds: tuple[int, ...] = ()


def _flat(where: str, values: dict) -> Iterator[Part]:
    yield Part(where, values)


def _wsc(where: str, values: dict) -> Iterator[Part]:
    if "target" in values:
        target = _object(where, "target", values["target"])
        values = values | {n: target[n] for n in ("span1_text", "span2_text") if n in target}
    yield Part(where, values)


def _multirc(where: str, values: dict) -> Iterator[Part]:
    if "passage" not in values:
        question = f"{values.get('paragraph')}\n{values.get('question')}"
        yield Part(where, values, group=question)
        return
    passage = _object(where, "passage", values["passage"])
    outer = _renamed(passage, paragraph="text")
    for q, question in _objects(where, "passage.questions", passage.get("questions")):
        place = f"passage.questions[{q}]"
        for a, answer in _objects(where, f"{place}.answers", question.get("answers")):
            inner = _renamed(question, question="question")
            inner |= _renamed(answer, answer="text", label="label")
            yield Part(f"{where}, {place}.answers[{a}]", outer | inner, group=f"{where} {q}")


def _record(where: str, values: dict) -> Iterator[Part]:
    passage = values.get("passage")
    if isinstance(passage, str):
        entities = _texts(where, "entities", values.get("entities"))
        answers = _texts(where, "answers", values.get("answers"))
        yield _query(where, passage, values, entities, answers)
        return
    passage = _object(where, "passage", passage)
    text = text_of(where, "passage.text", passage.get("text"))
    spans = _objects(where, "passage.entities", passage.get("entities"))
    entities = [_span(where, f"passage.entities[{i}]", span, text) for i, span in spans]
    for q, qa in _objects(where, "qas", values.get("qas")):
        inner = f"{where}, qas[{q}]"
        entries = _objects(inner, "answers", qa.get("answers"))
        answers = [text_of(inner, f"answers[{i}].text", entry.get("text")) for i, entry in entries]
        yield _query(inner, text, qa, entities, answers)


def _query(where: str, passage: str, values: dict, entities: list, answers: list) -> Part:
    """Returns the example of one query: an option is the query with an entity in its gap."""
    query = text_of(where, "query", values.get("query"))
    if PLACEHOLDER not in query:
        raise InputError(
            f"{where}: found the query {shown(query)}, expected {PLACEHOLDER} in it; "
            "correct the row"
        )
    candidates = tuple(dict.fromkeys(entities))
    golds = tuple(dict.fromkeys(answers))
    if not candidates or not golds:
        what = "answers" if candidates else "entities"
        raise InputError(f"{where}: found no {what}, expected at least one; leave the row out")
    for gold in golds:
        if gold not in candidates:
            raise InputError(
                f"{where}: found the answer {shown(gold)}, expected one of the entities; "
                "correct the row"
            )
    options = tuple(" " + query.replace(PLACEHOLDER, candidate) for candidate in candidates)
    indexes = tuple(candidates.index(gold) for gold in golds)
    return Part(where, {"passage": passage}, None, options, candidates, indexes)


LAYOUTS: dict[str, Callable[[str, dict], Iterator[Part]]] = {
    "flat": _flat,
    "wsc": _wsc,
    "multirc": _multirc,
    "record": _record,
}
LAYOUTS_WITH_OPTIONS = ("record",)  # their rows bring options, and say which are right


def text_of(where: str, name: str, value: object) -> str:
    """Returns the value if it is text that a tokenizer takes.

    Raises:
      InputError: it is no string, or no Unicode text.
    """
    if not isinstance(value, str):
        raise _unexpected(where, name, value, "a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell it; no tokenizer takes it
        raise InputError(
            f"{where}: found half a surrogate pair in {name!r}, expected text; correct the row"
        ) from error
    return value


def shown(value: object) -> str:
    """Returns the value on one line, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _object(where: str, name: str, value: object) -> dict:
    if not isinstance(value, dict):
        raise _unexpected(where, name, value, "an object")
    return value


def _list(where: str, name: str, value: object) -> list:
    if not isinstance(value, list):
        raise _unexpected(where, name, value, "a list")
    return value


def _objects(where: str, name: str, value: object) -> list[tuple[int, dict]]:
    return [
        (i, _object(where, f"{name}[{i}]", item))
        for i, item in enumerate(_list(where, name, value))
    ]


def _texts(where: str, name: str, value: object) -> list[str]:
    return [
        text_of(where, f"{name}[{i}]", item) for i, item in enumerate(_list(where, name, value))
    ]


def _span(where: str, name: str, span: dict, text: str) -> str:
    """Returns the text of an entity; `end` is its last character."""
    start, end = span.get("start"), span.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end < len(text):
        raise _unexpected(where, name, span, f"start and end within {len(text)} characters")
    return text[start : end + 1]


def _renamed(values: dict, **names: str) -> dict:
    return {new: values[old] for new, old in names.items() if old in values}


def _unexpected(where: str, name: str, value: object, expected: str) -> InputError:
    return InputError(
        f"{where}: found {shown(value)} in {name!r}, expected {expected}; correct the row"
    )
