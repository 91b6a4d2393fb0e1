"""The pieces of a chat template: marks are rendered, and what stands around them is taken."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.prefill import alike
from pocketllm.runtime.tasks.chat import (
    ASSISTANT,
    NEWLINES,
    NOTHING,
    SPACE,
    SYSTEM,
    USER,
    ChatPieces,
    Thinking,
    Turn,
)

from .template import ChatTemplate

# Contents that no template writes itself.
S, U, A, V, B, THOUGHT = "qSystemZ", "qUserZ", "qAnswerZ", "qFurtherZ", "qLastZ", "qThoughtZ"


def message(role: str, content: str) -> dict[str, str]:
    """Returns a message."""
    return {"role": role, "content": content}


FOUR = [message(USER, U), message(ASSISTANT, A), message(USER, V), message(ASSISTANT, B)]
TWO, ONE = FOUR[:2], FOUR[:1]
# What is left of "\n " in front of a content, and of " \n" behind it, by what is cut.
LEFT_OVER = {NOTHING: ("\n ", " \n"), NEWLINES: (" ", " "), SPACE: ("", "")}
THINKING = re.compile(r"\s*(\S+)\s+(\S+)\s*")


@dataclass(frozen=True)
class Around:
    """What a template writes around the messages of a user and of the assistant.

    Attributes:
      begin: before the first user's message.
      user, assistant: (before a content, behind it).
      thinking: in front of the last answer alone; or of every one, where `every`.
      generation: at the end of a chat that is to be answered.
      end: at the end of another.
    """

    begin: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    thinking: str
    every: bool
    generation: str
    end: str


def find_pieces(template: ChatTemplate, tokens: Sequence[str]) -> ChatPieces:
    """Finds the pieces of a template; whether they are all of it is for `verify`.

    Args:
      template: of the checkpoint.
      tokens: spellings of the tokenizer's special tokens, which no piece ends inside of.

    Raises:
      InputError: it refuses a chat of a user and an assistant, or is no table of pieces.
    """
    around = _around(template, tokens)
    before_system, system, in_user = _system(template, around)
    start = _start(template, around, [] if system is None else [before_system])
    without = around.begin.removeprefix(start)
    if system is not None:
        prefix = before_system.removeprefix(start)
        if in_user:
            # What stands before the user's turn stands there with a system message too.
            start, without = start + without, ""
            prefix = _behind(before_system, start + around.user[0], "nothing")
        system = replace(system, prefix=prefix)
    lead, suffix, tail = _learnt(template, around, tokens)
    prefix = around.assistant[0].removesuffix(lead)
    return ChatPieces(
        start=start,
        without_system=without,
        system=system,
        system_in_user=in_user,
        drops_empty_system=system is not None and _drops_empty(template),
        user=Turn(*around.user, *_cuts(template, FOUR, 0), ()),
        assistant=Turn(prefix, suffix, *_cuts(template, FOUR, 1), ()),
        lead=lead,
        tail=tail,
        thinking=_thinking(template, around),
        generation=around.generation,
        end=around.end,
    )


def _around(template, tokens):
    begin, question, answered, question_last, _ = _split(template.render(FOUR, False), U, A, V, B)
    closed = _split(template.render(TWO, False), U, A)[-1]
    opened = _split(template.render(TWO, True), U, A)[-1]
    suffix = closed[: _common(closed, opened, tokens)]
    end, generation = closed[len(suffix) :], opened[len(suffix) :]
    user_suffix = _split(template.render(ONE, False), U)[-1].removesuffix(end)
    user_prefix = _behind(answered, suffix, "an answer")
    prefix = _behind(question, user_suffix, "a user's message")
    if not begin.endswith(user_prefix):
        raise InputError(
            f"it writes {begin!r} before the first user's message, {user_prefix!r} before the next"
        )
    thinking, every = _behind(question_last, user_suffix + prefix, "the last user's message"), False
    if generation and prefix != generation and prefix.startswith(generation):
        thinking, every = prefix.removeprefix(generation), True
        prefix = generation
    return Around(
        begin=begin[: len(begin) - len(user_prefix)],
        user=(user_prefix, user_suffix),
        assistant=(prefix, suffix),
        thinking=thinking,
        every=every,
        generation=generation,
        end=end,
    )


def _start(template, around, begins):
    """Returns the token that begins every chat; "" where there is none, or each turn begins so."""
    bos = template.variables.get("bos_token")
    if not isinstance(bos, str) or not bos or around.user[0].startswith(bos):
        return ""
    return bos if all(text.startswith(bos) for text in (around.begin, *begins)) else ""


def _system(template, around):
    """Returns (what stands before a system message, its turn, whether it is in the user's)."""
    messages = [message(SYSTEM, S), *TWO]
    try:
        text = template.render(messages, False)
    except InputError:
        return "", None, False
    if S not in text:
        return "", None, False
    before, suffix, *_ = _split(text, S, U, A)
    in_user = not suffix.endswith(around.user[0])
    if not in_user:
        suffix = suffix[: len(suffix) - len(around.user[0])]
    return before, Turn("", suffix, *_cuts(template, messages, 0), ()), in_user


def _drops_empty(template):
    return template.render([message(SYSTEM, ""), *ONE], False) == template.render(ONE, False)


def _learnt(template, around, tokens):
    """Returns (end of the assistant's prefix, its suffix that is learnt, the rest of the suffix).

    Templates for training mark themselves what is learnt; the token that ends an answer always is.
    """
    prefix, suffix = around.assistant
    text = template.render(FOUR, False)
    begin = text.index(A)
    end = begin + len(A)
    for first, last in template.learnt_parts(FOUR):
        if first <= begin and end <= last:
            lead = text[first:begin]
            lead = lead.removesuffix(around.thinking) if around.every else lead
            length = max(last - end, _token_end(suffix, tokens))
            if prefix.endswith(lead):
                return lead, suffix[:length], suffix[length:]
    return "", suffix, ""


def _cuts(template, messages, index):
    """Returns what is cut from the (left, right) of the content of one of the messages."""
    role, mark = messages[index]["role"], messages[index]["content"]
    usual = template.render(messages, False)

    def cut(side):
        wrapped = ("\n " + mark, mark + " \n")[side]
        changed = [*messages[:index], message(role, wrapped), *messages[index + 1 :]]
        text = template.render(changed, False)
        for kind, left_over in LEFT_OVER.items():
            kept = left_over[side]
            if text == usual.replace(mark, (kept + mark, mark + kept)[side]):
                return kind
        raise InputError(f"it writes {text!r} for the {role}'s content {wrapped!r}")

    return cut(0), cut(1)


def _thinking(template, around):
    if not around.thinking:
        return None
    marks = THINKING.fullmatch(around.thinking)
    if marks is None:
        raise InputError(f"it writes {around.thinking!r} before the last answer")
    opening, closing = marks.groups()
    thoughtful = f"{opening}\n{THOUGHT}\n{closing}\n\n{B}"
    text = template.render([*FOUR[:3], message(ASSISTANT, thoughtful)], False)
    if text.count(THOUGHT) == 1 and text.index(THOUGHT) < text.index(B):
        *_, before, suffix, _ = _split(text, U, A, V, THOUGHT, B)
        prefix = before.removeprefix(around.user[1] + around.assistant[0])
        if prefix + suffix == around.thinking:
            return Thinking(prefix, suffix, around.every)
    first = around.thinking.index(closing)
    # It looks for no thoughts; `verify` then refuses contents with its marks.
    return Thinking(around.thinking[:first], around.thinking[first:], around.every)


def _split(text, *marks):
    """Returns what stands before, between and behind marks that stand there once, in order."""
    pattern = "(.*?)".join(map(re.escape, marks))
    match = re.fullmatch(f"(.*?){pattern}(.*)", text, re.DOTALL)
    if match is None or any(text.count(mark) != 1 for mark in marks):
        raise InputError(f"it writes {text!r} for the contents {', '.join(marks)}")
    return match.groups()


def _behind(text, prefix, place):
    """Returns a text without its prefix."""
    if not text.startswith(prefix):
        raise InputError(f"it writes {text!r} behind {place}, expected {prefix!r} first")
    return text.removeprefix(prefix)


def _common(one_text, other_text, tokens):
    """Returns how long two texts are the same, none of their tokens cut."""
    length = alike(one_text, other_text)
    spans = [span for text in (one_text, other_text) for span in token_spans(text, tokens)]
    while inside := [first for first, last in spans if first < length < last]:
        length = min(inside)
    return length


def token_spans(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Returns the (first, last + 1) characters of the tokens that a text spells."""
    longest_first = sorted(tokens, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return [match.span() for match in re.finditer(pattern, text)] if pattern else []


def _token_end(text, tokens):
    """Returns where the first token of a text ends; its whole length where it spells none."""
    return next((last for _, last in token_spans(text, tokens)), len(text))
