"""Examples of scored options to token ids, as MeZO's OPT experiments encode them.

The whole text is tokenised, prompt and option at once: a prompt alone can end in other tokens than
the same prompt with an option behind it. An option is as many tokens long as it makes the prompt
longer. What does not fit is cut on the left, behind <s>.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from .. import contract
from ..errors import InputError
from ..tasks.causal import TRANSFORMS, CausalTask, fill
from .encoded import Encoded, EncodedExample
from .reader import Example
from .tokenizer import SpecialIds, special_ids

# Tokenised together, on all cores.
EXAMPLES_AT_ONCE = 512


@dataclass(frozen=True)
class Limits:
    """What a bundle's forward signatures take.

    Attributes:
      scoring: one of contract.SCORINGS.
      word_ids: token ids of the label words, for "words".
      tokens: the longest row.
      option_tokens: the longest option, for the other scorings.
    """

    scoring: str
    word_ids: tuple[int, ...]
    tokens: int
    option_tokens: int


def option_special_ids(tokenizer: Tokenizer) -> SpecialIds:
    """Returns the ids of the special tokens; a causal model needs <s> and <pad> alone."""
    return special_ids(tokenizer, ("<s>", "<pad>"), "an OPT")


def prompt_of(example: Example, task: CausalTask) -> str:
    """Returns the text before the option."""
    texts = {name: _field(example, task, name) for name in example.fields}
    return fill(task.template, texts)


def options_of(example: Example, task: CausalTask) -> tuple[str, ...]:
    """Returns the texts that may follow the prompt, in label order."""
    own = tuple(_field(example, task, name) for name in task.option_fields)
    return example.options or own or task.words


def encode_all_options(
    examples: Sequence[Example],
    task: CausalTask,
    tokenizer: Tokenizer,
    limits: Limits,
    path,
    only_gold: bool = False,
    progress: Callable[[int], None] = lambda examples: None,
) -> list[EncodedExample]:
    """Encodes the examples of a file, in their order, for a bundle's scoring.

    Args:
      examples: the rows.
      task: their template.
      tokenizer: of the bundle.
      limits: of the bundle.
      path: the file, for errors.
      only_gold: encode no other option than the one trained on, where that is all training needs.
      progress: told the examples done.

    Raises:
      InputError: an option that has no tokens, too many, or cannot be told from the prompt.
    """
    bos = option_special_ids(tokenizer).bos
    encoded = []
    for first in range(0, len(examples), EXAMPLES_AT_ONCE):
        plans = [_plan(one, task, limits, only_gold) for one in examples[first:][:EXAMPLES_AT_ONCE]]
        ids = _ids_of({text for plan in plans for text in plan.texts}, tokenizer)
        for plan in plans:
            where = f"{path} line {plan.example.line}"
            row = _words_row if limits.scoring == contract.WORDS else _option_row
            sequences = tuple(
                row(plan.prompt, option, ids, bos, task, limits, where) for option in plan.options
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


def _plan(example, task, limits, only_gold) -> _Plan:
    prompt, options = prompt_of(example, task), options_of(example, task)
    golds, answers = example.golds or (example.label,), example.answers
    if limits.scoring == contract.WORDS:
        options = options[:1]  # whichever word follows, the tokens before it are the same
    elif only_gold and limits.scoring == contract.GOLD:
        options, answers, golds = (options[golds[0]],), answers[golds[0] :][:1], (0,)
    return _Plan(example, prompt, options, golds, answers)


def _counted(text: str) -> str:
    """The text whose tokens say how long an option is."""
    return text.strip(" ")


def _read(text: str) -> str:
    """The text that the model reads."""
    return text.lstrip().rstrip(" ")


def _ids_of(texts: set[str], tokenizer) -> dict[str, list[int]]:
    ordered = sorted(texts)
    encodings = tokenizer.encode_batch(ordered, add_special_tokens=False)
    return {text: encoding.ids for text, encoding in zip(ordered, encodings)}


def _tokenised(prompt, option, ids, bos) -> tuple[list[int], int]:
    """Returns the ids of the whole text, <s> in front, and how many of them are the option's."""
    whole = prompt + option
    return [bos, *ids[_read(whole)]], len(ids[_counted(whole)]) - len(ids[_counted(prompt)])


def _option_row(prompt, option, ids, bos, task, limits, where) -> Encoded:
    whole, length = _tokenised(prompt, option, ids, bos)
    room = min(limits.tokens, task.max_length)
    if not 0 < length < len(whole):
        raise InputError(f"{where}: the option {_short(option)} is empty; fill it in")
    if length > min(limits.option_tokens, room - 1):
        limit, remedy = room - 1, "longer --lengths"
        if limits.option_tokens < limit:
            limit, remedy = limits.option_tokens, f"--option_tokens={length} or more"
        raise InputError(
            f"{where}: the option {_short(option)} takes {length} tokens, expected 1 to {limit}; "
            f"shorten it, or export with {remedy}"
        )
    kept = _cut(whole, room)
    target = {contract.OPTION_START: len(kept) - length, contract.OPTION_TOKENS: length}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(whole))


def _words_row(prompt, word, ids, bos, task, limits, where) -> Encoded:
    """Returns the tokens before the label word."""
    whole, length = _tokenised(prompt, word, ids, bos)
    if length != 1 or whole[-1] != limits.word_ids[0] or len(whole) < 2:
        raise InputError(
            f"{where}: the label word {word!r} takes {length} tokens behind this prompt, expected "
            "1; remove the white space at the end of the row's last text, or fill in what is empty"
        )
    kept = _cut(whole, min(limits.tokens + 1, task.max_length))[:-1]
    target = {contract.LAST_POSITION: len(kept) - 1}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(whole) - 1)


def _cut(ids: list[int], most: int) -> list[int]:
    return ids if len(ids) <= most else [ids[0], *ids[len(ids) - most + 1 :]]


def _field(example: Example, task: CausalTask, name: str) -> str:
    text = example.fields[name]
    text = task.values[name][text] if name in task.values else text
    return TRANSFORMS[task.transforms[name]](text) if name in task.transforms else text


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
