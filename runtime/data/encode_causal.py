"""Causal prompts and their options to token ids, as MeZO's experiments with causal models do it.

The whole text is tokenised, prompt and option at once: a prompt alone can end in other tokens than
the same prompt with an option behind it. An option is as many tokens long as it makes the prompt
longer. What does not fit is cut on the left, behind bos.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from tokenizers import Tokenizer

from .. import contract
from ..errors import InputError
from ..tasks.causal import CausalTask, FieldChoice, WordChoice
from ..tasks.templates import TRANSFORMS, fill
from .encoded import Encoded, EncodedExample, RowFormat
from .reader import Example

# Tokenised together, on all cores.
EXAMPLES_AT_ONCE = 512


def prompt_of(example: Example, task: CausalTask) -> str:
    """Returns the text before the option."""
    texts = {name: _field(example, task, name) for name in example.fields}
    return fill(task.template, texts)


def options_of(example: Example, task: CausalTask) -> tuple[str, ...]:
    """Returns the texts that may follow the prompt, in label order."""
    choice = task.choice
    if isinstance(choice, WordChoice):
        return choice.words
    if isinstance(choice, FieldChoice):
        return tuple(_field(example, task, name) for name in choice.fields)
    return example.options


def encode_all(
    examples: Sequence[Example],
    row_format: RowFormat,
    path,
    only_gold: bool = False,
    progress: Callable[[int], None] = lambda examples: None,
) -> list[EncodedExample]:
    """Encodes the examples of a file, in their order, for a bundle's scoring.

    Args:
      examples: the rows.
      row_format: of the bundle.
      path: the file, for errors.
      only_gold: encode no other option than the one trained on, where that is all training needs.
      progress: called with the number of examples done.

    Raises:
      InputError: an option that has no tokens, too many, or cannot be told from the prompt.
    """
    row = _words_row if row_format.scoring == contract.WORDS else _option_row
    encoded = []
    for first in range(0, len(examples), EXAMPLES_AT_ONCE):
        some = examples[first : first + EXAMPLES_AT_ONCE]
        plans = [_plan(example, row_format, only_gold) for example in some]
        ids = _ids_of({text for plan in plans for text in plan.texts}, row_format.tokenizer)
        for plan in plans:
            where = f"{path} line {plan.example.line}"
            sequences = tuple(
                row(plan.prompt, option, ids, row_format, where) for option in plan.options
            )
            golds, group = plan.golds, plan.example.group
            encoded.append(EncodedExample(sequences, golds, group, plan.answers))
        progress(len(plans))
    return encoded


@dataclass(frozen=True)
class _Plan:
    """What of an example is encoded: a row for each of `options` behind the prompt."""

    example: Example
    prompt: str
    options: tuple[str, ...]
    golds: tuple[int, ...]
    answers: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """Everything that has to be tokenised."""
        whole = [self.prompt + option for option in self.options]
        return [_counted(self.prompt), *map(_counted, whole), *map(_read, whole)]


def _plan(example: Example, row_format: RowFormat, only_gold: bool) -> _Plan:
    task = cast(CausalTask, row_format.task)
    prompt, options = prompt_of(example, task), options_of(example, task)
    golds, answers = example.golds or (example.label,), example.answers
    if row_format.scoring == contract.WORDS:
        options = options[:1]  # whichever word follows, the tokens before it are the same
    elif only_gold and row_format.scoring == contract.GOLD:
        options, answers, golds = (options[golds[0]],), answers[golds[0] :][:1], (0,)
    return _Plan(example, prompt, options, golds, answers)


def _counted(text: str) -> str:
    """Returns the text whose tokens say how long an option is."""
    return text.strip(" ")


def _read(text: str) -> str:
    """Returns the text that the model reads."""
    return text.lstrip().rstrip(" ")


def _ids_of(texts: set[str], tokenizer: Tokenizer) -> dict[str, list[int]]:
    ordered = sorted(texts)
    encodings = tokenizer.encode_batch(ordered, add_special_tokens=False)
    return {text: encoding.ids for text, encoding in zip(ordered, encodings)}


def _tokenised(prompt: str, option: str, ids: dict, bos: int | None) -> tuple[list[int], int]:
    """Returns the ids of the whole text behind bos, and how many of them are the option's."""
    whole = prompt + option
    begin = [] if bos is None else [bos]
    return begin + ids[_read(whole)], len(ids[_counted(whole)]) - len(ids[_counted(prompt)])


def _option_row(prompt: str, option: str, ids: dict, row_format: RowFormat, where: str) -> Encoded:
    """Returns the tokens of prompt and option."""
    bos = row_format.special.bos
    whole, length = _tokenised(prompt, option, ids, bos)
    room = row_format.tokens
    if not 0 < length < len(whole):
        raise InputError(f"{where}: the option {_short(option)} is empty; fill it in")
    if length > min(row_format.option_tokens, room - 1):
        limit, remedy = room - 1, "longer --lengths"
        if row_format.option_tokens < limit:
            limit, remedy = row_format.option_tokens, f"--option_tokens={length} or more"
        raise InputError(
            f"{where}: the option {_short(option)} takes {length} tokens, expected 1 to {limit}; "
            f"shorten it, or export with {remedy}"
        )
    kept = _cut(whole, room, bos)
    target = {contract.OPTION_START: len(kept) - length, contract.OPTION_TOKENS: length}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(whole))


def _words_row(prompt: str, word: str, ids: dict, row_format: RowFormat, where: str) -> Encoded:
    """Returns the tokens before the label word."""
    bos = row_format.special.bos
    whole, length = _tokenised(prompt, word, ids, bos)
    if length != 1 or whole[-1] != row_format.word_ids[0] or len(whole) < 2:
        raise InputError(
            f"{where}: the label word {word!r} takes {length} tokens behind this prompt, expected "
            "1; remove the white space at the end of the row's last text, or fill in what is empty"
        )
    kept = _cut(whole, row_format.tokens + 1, bos)[:-1]  # the word is not in the row
    target = {contract.LAST_POSITION: len(kept) - 1}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(whole) - 1)


def _cut(ids: list[int], most: int, bos: int | None) -> list[int]:
    """Returns the last of the ids, behind bos, `most` at most."""
    if len(ids) <= most:
        return ids
    begin = [] if bos is None else [bos]
    return begin + ids[len(ids) - most + len(begin) :]


def _field(example: Example, task: CausalTask, name: str) -> str:
    text = example.fields[name]
    text = task.values[name][text] if name in task.values else text
    return TRANSFORMS[task.transforms[name]](text) if name in task.transforms else text


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
