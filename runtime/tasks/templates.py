"""Templates of causal prompts: their tokens, their fields, and the transforms of a field's text."""

import re
from collections.abc import Callable

_TEMPLATE_TOKENS = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]")


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
