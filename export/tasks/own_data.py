"""The task of the user's own data, from `--prompt` and `--label_words`."""

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import CausalTask, WordChoice
from pocketllm.runtime.tasks.masked import MASK, MaskedTask, Piece, field, literal
from pocketllm.runtime.tasks.templates import template_fields, template_tokens

from .label_words import parse_label_words

_EXAMPLE_PROMPT = '--prompt="{text} It was{mask}."'
_EXAMPLE_OPTION_PROMPT = '--prompt="{text} It was"'


def text_task(prompt: str, label_words: str) -> MaskedTask:
    """Builds the task of the user's own data from the two flags.

    Spaces go where byte-level BPE wants them: one space before a field becomes the field's leading
    space, and one space before `{mask}` is dropped, because every label word gets a leading space,
    also where the mask starts the prompt (as in TREC). A backslash and an n in the flag are a line
    break. `{{` and `}}` are literal braces.

    Args:
      prompt: for example "{text} It was{mask}."; a field is the name of a column or JSON key.
      label_words: label as the data spells it, then its word; see label_words.py.
    """
    pieces = _parse_prompt(_with_line_breaks(prompt), prompt)
    pairs = parse_label_words(label_words)
    return MaskedTask(
        name="text",
        pieces=pieces,
        labels=tuple(label for label, _ in pairs),
        words=tuple(" " + word for _, word in pairs),
        columns={piece.text: (piece.text,) for piece in pieces if piece.kind == "field"},
        label_columns=("label",),
        label_aliases={},
        label_numbers={},
        skip_labels=(),
        first_field_reserve=None,
    )


def _with_line_breaks(prompt: str) -> str:
    """Returns a prompt of the flag: shells pass on a backslash and an n as they are."""
    return prompt.replace("\\n", "\n")


def _parse_prompt(prompt: str, flag: str) -> tuple[Piece, ...]:
    error = _prompt_error(flag, _EXAMPLE_PROMPT)
    pieces, text = [], ""
    for token in template_tokens(prompt):
        if token in ("{{", "}}") or token[0] not in "{}":
            text += {"{{": "{", "}}": "}"}.get(token, token)
            continue
        _check_pair(token, error)
        # The space before a field or the mask is not the literal's: see `text_task`.
        space = text.endswith(" ")
        text = text[:-1] if space else text
        if text:
            pieces.append(literal(text))
        name = _field_name(token, error)
        pieces.append(MASK if name == "mask" else field(name, leading_space=space))
        text = ""
    if text:
        pieces.append(literal(text))
    masks = pieces.count(MASK)
    if masks != 1:
        raise error(f"found {masks} times {{mask}}, expected exactly one")
    if not any(piece.kind == "field" for piece in pieces):
        raise error("found no field, expected at least one such as {text}")
    return tuple(pieces)


def option_text_task(prompt: str, label_words: str) -> CausalTask:
    """Builds the task of the user's own data for a causal language model.

    The label word follows the prompt, with a space unless the prompt ends a line. A backslash and
    an n in the flag are a line break. `{{` and `}}` are literal braces.

    Args:
      prompt: for example "{text} It was", also with the `{mask}` and "." of a RoBERTa prompt behind
        it; a field is the name of a column or JSON key, white space around its text is dropped.
      label_words: label as the data spells it, then its words; see label_words.py.
    """
    template = _parse_option_prompt(_with_line_breaks(prompt), prompt)
    pairs = parse_label_words(label_words)
    names = list(dict.fromkeys(template_fields(template)))
    space = "" if template.endswith("\n") else " "
    return CausalTask(
        name="text",
        template=template,
        columns={name: (name,) for name in names},
        transforms=dict.fromkeys(names, "strip"),
        values={},
        layout="flat",
        choice=WordChoice(
            words=tuple(space + word for _, word in pairs),
            labels=tuple(label for label, _ in pairs),
            label_columns=("label",),
            label_aliases={},
        ),
        metrics=(),
        split=(),
    )


def _parse_option_prompt(prompt: str, flag: str) -> str:
    """Returns the template: what stands before the mask, without the spaces at its end."""
    error = _prompt_error(flag, _EXAMPLE_OPTION_PROMPT)
    tokens = [*template_tokens(prompt), "{mask}"]
    mask = tokens.index("{mask}")
    behind = "".join(tokens[mask + 1 : -1]).strip()
    if behind not in ("", "."):
        raise error(
            f"found {behind!r} behind {{mask}}, which a causal model does not see; put it before "
            "the mask"
        )
    fields = 0
    for token in tokens[:mask]:
        if token in ("{{", "}}") or token[0] not in "{}":
            continue
        _check_pair(token, error)
        _field_name(token, error)
        fields += 1
    if not fields:
        raise error("found no field, expected at least one such as {text}")
    return "".join(tokens[:mask]).rstrip(" ")


def _prompt_error(prompt: str, example: str):
    """Returns what makes the InputError of a problem with --prompt."""
    return lambda problem: InputError(
        f"--prompt={prompt!r}: {problem}; write for example {example}"
    )


def _check_pair(token: str | None, error) -> None:
    if token in ("{", "}"):
        raise error(f"found a lone {token!r}, expected a pair (a literal brace is doubled)")


def _field_name(token: str, error) -> str:
    name = token[1:-1]
    if name == "label":
        raise error("found {label}, which would give the answer away")
    if not name or name != name.strip():
        raise error(f"found {token!r}, expected the name of a field in the braces")
    return name
