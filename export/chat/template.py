"""A chat template of a checkpoint, rendered as transformers renders it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from pocketllm.runtime.errors import InputError, first_line

Messages = Sequence[Mapping[str, str]]

CLOCK = "strftime_now"
# What Llama 3.2's template writes where it has no clock; for others that ask for the date.
USUAL_DATE = date(2024, 7, 26)
# Behind both, trim_blocks takes the newline away.
WITHOUT_CLOCK = f"{{% set {CLOCK} = no_clock_here %}}\n"
WITH_DATES = f"{{% macro {CLOCK}(format) %}}{{{{ DATES[format] }}}}{{% endmacro %}}\n"
GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")


@dataclass(frozen=True)
class ChatTemplate:
    """A template.

    Attributes:
      text: in Jinja's language.
      variables: what it may use beside the messages: transformers' names of special tokens ->
        their spellings.
    """

    text: str
    variables: Mapping[str, object]

    def render(self, messages: Messages, generation_prompt: bool) -> str:
        """Returns the text of a chat.

        Raises:
          InputError: the template refuses the messages, or is none; the message is one line.
        """
        return self._render(messages, generation_prompt)[0]

    def learnt_parts(self, messages: Messages) -> list[tuple[int, int]]:
        """Returns the (first, last + 1) characters that the template itself marks as the answers.

        Parts that touch are one.

        Raises:
          InputError: as `render`.
        """
        if not GENERATION.search(self.text):
            return []
        joined: list[tuple[int, int]] = []
        for first, last in self._render(messages, False, return_assistant_tokens_mask=True)[1]:
            if joined and joined[-1][1] == first:
                first = joined.pop()[0]
            joined.append((first, last))
        return joined

    @cached_property
    def _text(self):
        """The template without a clock: a bundle writes the same text every day.

        The date is then the template's own fallback; where it has none, USUAL_DATE.
        """
        if CLOCK not in self.text:
            return self.text
        undated = WITHOUT_CLOCK + self.text
        try:
            _rendered(undated, [{"role": "user", "content": "?"}], True, self.variables)
        except InputError:
            dates = {form: USUAL_DATE.strftime(form) for form in date_formats(self.text)}
            return WITH_DATES.replace("DATES", json.dumps(dates, ensure_ascii=False)) + self.text
        return undated

    def _render(self, messages, generation_prompt, **options):
        return _rendered(self._text, messages, generation_prompt, self.variables, **options)


def _rendered(
    text: str, messages: Messages, generation_prompt: bool, variables: Mapping, **options
) -> tuple[str, list[tuple[int, int]]]:
    """Returns (the text of a chat, parts that the template marks)."""
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, parts = render_jinja_template(
            conversations=[[dict(message) for message in messages]],
            chat_template=text,
            add_generation_prompt=generation_prompt,
            **variables,
            **options,
        )
    except Exception as error:  # whatever the template leads Jinja to
        raise InputError(first_line(error) or type(error).__name__) from error
    return texts[0], [(int(first), int(last)) for first, last in parts[0]] if parts else []


def date_formats(text: str) -> set[str]:
    """Returns the formats of dates that a template asks its clock for."""
    from jinja2 import nodes

    calls = syntax(text).find_all(nodes.Call)
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.node, nodes.Name)
        and call.node.name == CLOCK
        and call.args
        and isinstance(call.args[0], nodes.Const)
    }


def syntax(text: str):
    """Returns the syntax tree of a template.

    Raises:
      InputError: it is none.
    """
    import jinja2

    try:
        environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
        return environment.parse(GENERATION.sub("", text))
    except (jinja2.TemplateError, RecursionError) as error:
        raise InputError(first_line(error)) from error


def check_syntax(text: str, where: str, remedy: str) -> None:
    """Checks that a template can be parsed.

    Raises:
      InputError: it cannot; the message begins with `where` and the line, and ends with `remedy`.
    """
    try:
        syntax(text)
    except InputError as error:
        line = getattr(error.__cause__, "lineno", None)
        place = f"{where} line {line}" if line else where
        raise InputError(
            f"{place}: found no valid Jinja ({error}), expected a chat template; {remedy}"
        ) from error
