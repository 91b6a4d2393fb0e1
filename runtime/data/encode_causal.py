"""Causal prompts and their options to token ids, as MeZO's experiments with causal models do it.

The whole text is tokenised, prompt and option at once: a prompt alone can end in other tokens than
the same prompt with an option behind it. An option is as many tokens long as it makes the prompt
longer. What does not fit is cut on the left, behind bos. A special token that the template spells
is that token; in a row's own text it is text.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from tokenizers import Tokenizer

from .. import contract
from ..errors import InputError
from ..tasks.causal import CausalTask, FieldChoice, WordChoice
from ..tasks.templates import TRANSFORMS, fill
from .encoded import Encoded, EncodedExample, RowFormat
from .long_texts import LONG, head_ids, tail_of
from .marks import unmarked
from .own_tokens import MarkedTask, marked_task
from .reader import Example
from .tokenizer import all_token_ids, grouped


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
    examples: Iterable[Example],
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
    marked = marked_task(cast(CausalTask, row_format.task), row_format.tokenizer)
    row_format = replace(row_format, task=marked.task)
    examples, encoded = map(marked.example, examples), []
    planned = (_plan(example, row_format, only_gold, path) for example in examples)
    for plans in grouped(planned, lambda plan: sum(map(len, plan.texts))):
        ids = _ids_of({text for plan in plans for text in plan.texts}, row_format.tokenizer, marked)
        for plan in plans:
            sequences = tuple(
                row(plan.prompt, option, ids, row_format, plan.where) for option in plan.options
            )
            encoded.append(EncodedExample(sequences, plan.golds, plan.group, plan.answers))
        progress(len(plans))
    return encoded


@dataclass(frozen=True)
class _Plan:
    """What of an example is encoded: a row for each of `options` behind the prompt."""

    where: str  # file and line
    group: str | None
    prompt: str
    options: tuple[str, ...]
    golds: tuple[int, ...]
    answers: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """Everything that has to be tokenised."""
        whole = [self.prompt + option for option in self.options]
        return [_counted(self.prompt), *map(_counted, whole), *map(_read, whole)]


def _plan(example: Example, row_format: RowFormat, only_gold: bool, path) -> _Plan:
    task = cast(CausalTask, row_format.task)
    prompt, options = prompt_of(example, task), options_of(example, task)
    golds, answers = example.golds or (example.label,), example.answers
    if row_format.scoring == contract.WORDS:
        options = options[:1]  # whichever word follows, the tokens before it are the same
    elif only_gold and row_format.scoring == contract.GOLD:
        options, answers, golds = (options[golds[0]],), answers[golds[0] :][:1], (0,)
    where = f"{path} line {example.line}"
    tokenizer, tokens = row_format.tokenizer, row_format.tokens
    for option in options:
        if len(option) > LONG * tokens and len(head_ids(tokenizer, option, tokens)) >= tokens:
            raise _too_long(where, option, row_format)
    prompt = tail_of(tokenizer, prompt, tokens + 1)
    return _Plan(where, example.group, prompt, options, golds, answers)


def _counted(text: str) -> str:
    """Returns the text whose tokens say how long an option is."""
    return text.strip(" ")


def _read(text: str) -> str:
    """Returns the text that the model reads."""
    return text.lstrip().rstrip(" ")


def _ids_of(texts: set[str], tokenizer: Tokenizer, marked: MarkedTask) -> dict[str, list[int]]:
    ordered = sorted(texts)
    return dict(zip(ordered, map(marked.tokens, all_token_ids(tokenizer, ordered))))


def _tokenised(prompt: str, option: str, ids: dict, bos: int | None) -> tuple[list[int], int]:
    """Returns the ids of the whole text behind bos, and how many of them are the option's.

    A template that begins with bos itself has brought it.
    """
    whole = prompt + option
    read = ids[_read(whole)]
    begin = [] if bos is None or read[:1] == [bos] else [bos]
    return begin + read, len(ids[_counted(whole)]) - len(ids[_counted(prompt)])


def _option_row(prompt: str, option: str, ids: dict, row_format: RowFormat, where: str) -> Encoded:
    """Returns the tokens of prompt and option."""
    bos = row_format.special.bos
    whole, length = _tokenised(prompt, option, ids, bos)
    room = row_format.tokens
    if not 0 < length < len(whole):
        raise InputError(f"{where}: the option {_short(option)} is empty; fill it in")
    if length > min(row_format.option_tokens, room - 1):
        raise _too_long(where, option, row_format, length)
    kept = _cut(whole, room, bos)
    target = {contract.OPTION_START: len(kept) - length, contract.OPTION_TOKENS: length}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(whole))


def _too_long(where: str, option: str, row_format: RowFormat, length: int = 0) -> InputError:
    """Returns the error of an option; 0 for a length that is only known to fill the row."""
    limit, remedy = row_format.tokens - 1, "longer --lengths"
    if row_format.option_tokens < limit:
        limit = row_format.option_tokens
        remedy = f"--option_tokens={length} or more" if length else "larger --option_tokens"
    takes = f"{length} tokens" if length else f"{row_format.tokens} tokens or more"
    return InputError(
        f"{where}: the option {_short(option)} takes {takes}, expected 1 to {limit}; "
        f"shorten it, or export with {remedy}"
    )


def _words_row(prompt: str, word: str, ids: dict, row_format: RowFormat, where: str) -> Encoded:
    """Returns the tokens before the label word."""
    bos = row_format.special.bos
    whole, length = _tokenised(prompt, word, ids, bos)
    if len(whole) < 2:
        raise InputError(
            f"{where}: nothing stands before the label word {_short(word)}, expected at least one "
            "token; fill in what is empty"
        )
    if length != 1 or whole[-1] != row_format.word_ids[0]:
        raise InputError(
            f"{where}: the label word {_short(word)} takes {length} tokens behind this prompt, "
            "expected 1; remove the white space at the end of the row's last text, or fill in what "
            "is empty"
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
    text = unmarked(text)
    return repr(text if len(text) <= 40 else text[:37] + "...")
