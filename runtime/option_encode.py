"""Examples of scored options to token ids, as MeZO's OPT experiments encode them.

The whole text is tokenised, prompt and option at once: a prompt alone can end in other tokens than
the same prompt with an option behind it. An option is as many tokens long as it makes the prompt
longer. What does not fit is cut on the left, behind <s>.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from . import contract
from .data import Example
from .encode import Encoded, EncodedExample, SpecialIds, special_ids
from .errors import InputError
from .option_tasks import TRANSFORMS, OptionTask, fill


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


def prompt_of(example: Example, task: OptionTask) -> str:
    """Returns the text before the option."""
    texts = {name: _field(example, task, name) for name in example.fields}
    return fill(task.template, texts)


def options_of(example: Example, task: OptionTask) -> tuple[str, ...]:
    """Returns the texts that may follow the prompt, in label order."""
    own = tuple(_field(example, task, name) for name in task.option_fields)
    return example.options or own or task.words


def encode_options(
    example: Example,
    task: OptionTask,
    tokenizer: Tokenizer,
    limits: Limits,
    where: str,
    only_gold: bool = False,
) -> EncodedExample:
    """Encodes one example for a bundle's scoring.

    Args:
      example: a row.
      task: its template.
      tokenizer: of the bundle.
      limits: of the bundle.
      where: file and line, for errors.
      only_gold: encode no other option than the one trained on, where that is all training needs.

    Raises:
      InputError: an option that has no tokens, too many, or cannot be told from the prompt.
    """
    prompt, options, golds = prompt_of(example, task), options_of(example, task), example.golds
    golds, answers = golds or (example.label,), example.answers
    if limits.scoring == contract.WORDS:
        sequences = (_words_row(prompt, options[0], task, tokenizer, limits, where),)
        return EncodedExample(sequences, golds, example.group)
    if only_gold and limits.scoring == contract.GOLD:
        options, answers, golds = (options[golds[0]],), answers[golds[0] :][:1], (0,)
    room = min(limits.tokens, task.max_length)
    sequences = []
    for option, (ids, length) in zip(options, _tokenised(prompt, options, tokenizer)):
        most = min(limits.option_tokens, room - 1)
        if not 0 < length <= most or length >= len(ids):
            raise InputError(
                f"{where}: the option {_short(option)} takes {length} tokens, expected 1 to "
                f"{most}; shorten it, or export with longer --lengths"
            )
        kept = _cut(ids, room)
        target = {contract.OPTION_START: len(kept) - length, contract.OPTION_TOKENS: length}
        sequences.append(Encoded(np.array(kept, np.int32), target, len(kept) < len(ids)))
    return EncodedExample(tuple(sequences), golds, example.group, answers)


def encode_all_options(
    examples: Iterable[Example],
    task: OptionTask,
    tokenizer: Tokenizer,
    limits: Limits,
    path,
    only_gold: bool = False,
) -> list[EncodedExample]:
    """Encodes the examples of a file in their order; see `encode_options`."""
    return [
        encode_options(example, task, tokenizer, limits, f"{path} line {example.line}", only_gold)
        for example in examples
    ]


def _words_row(prompt, word, task, tokenizer, limits, where) -> Encoded:
    """Returns the tokens before the label word; which word follows does not matter to them."""
    ids, length = _tokenised(prompt, (word,), tokenizer)[0]
    if length != 1 or ids[-1] != limits.word_ids[0] or len(ids) < 2:
        raise InputError(
            f"{where}: the label word {word!r} takes {length} tokens after this prompt, the last "
            f"one {ids[-1]}, expected the token {limits.word_ids[0]} alone; remove the white space "
            "at the end of the row's last text, or fill in what is empty"
        )
    kept = _cut(ids, min(limits.tokens + 1, task.max_length))[:-1]
    target = {contract.LAST_POSITION: len(kept) - 1}
    return Encoded(np.array(kept, np.int32), target, len(kept) < len(ids) - 1)


def _tokenised(prompt: str, options: tuple[str, ...], tokenizer) -> list[tuple[list[int], int]]:
    """Returns, for each option, the ids of the whole text and how many of them are the option's."""
    bos = option_special_ids(tokenizer).bos
    whole = [(prompt + option).strip(" ") for option in options]
    read = [text.lstrip() for text in whole]
    texts = list(dict.fromkeys([prompt.strip(" "), *whole, *read]))
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    ids = {text: encoding.ids for text, encoding in zip(texts, encodings)}
    before = len(ids[prompt.strip(" ")])
    return [([bos, *ids[r]], len(ids[w]) - before) for w, r in zip(whole, read)]


def _cut(ids: list[int], most: int) -> list[int]:
    return ids if len(ids) <= most else [ids[0], *ids[len(ids) - most + 1 :]]


def _field(example: Example, task: OptionTask, name: str) -> str:
    text = example.fields[name]
    text = task.values[name][text] if name in task.values else text
    return TRANSFORMS[task.transforms[name]](text) if name in task.transforms else text


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
