"""Writer: a model that writes text behind a prompt, its cache kept from one text to the next."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from ..bundle.contents import Bundle
from ..engine.model import Model
from ..errors import InputError
from ..host import signals
from .prefill import alike, prefill_plan
from .sampling import GREEDY, Sampler, Sampling
from .text_stream import TextStream, text_of_ids

# Why a text ended: a stop id, as many tokens as were wanted, no positions left.
STOP, LENGTH, CONTEXT = "stop", "length", "context"
USUAL_NEW_TOKENS = 128  # the most that are written where nothing else is said


@dataclass(frozen=True)
class Written:
    """What a model wrote.

    Attributes:
      token_ids: the new tokens, the stop id included where one ended the text.
      text: theirs, without special tokens and stop id.
      ended: STOP, LENGTH or CONTEXT.
      read_tokens: of the prompt, those that the cache did not hold yet.
      read_seconds: for these, up to the first new token's logits.
      decoded_tokens: new tokens behind the first one.
      decode_seconds: for their logits.
      seconds: for all of it.
    """

    token_ids: tuple[int, ...]
    text: str
    ended: str
    read_tokens: int
    read_seconds: float
    decoded_tokens: int
    decode_seconds: float
    seconds: float


def check_generates(bundle: Bundle) -> Bundle:
    """Returns a bundle that has signatures that generate; raises InputError for any other."""
    if not bundle.context:
        raise InputError(
            f"{bundle.folder}: exported without what generates; export it again with --generate"
        )
    return bundle


def known_ids(tokenizer: Tokenizer, vocabulary: int) -> np.ndarray:
    """Returns [V] bool: which ids of a model its tokenizer has."""
    return np.array([tokenizer.id_to_token(number) is not None for number in range(vocabulary)])


class Writer:
    """Writes texts with a model, which no signature but those that generate may change."""

    def __init__(self, model: Model, tokenizer: Tokenizer, known: np.ndarray):
        """Takes an initialised model.

        Args:
          model: of a bundle that generates.
          tokenizer: of the bundle, for texts.
          known: from `known_ids`.
        """
        check_generates(model.bundle)
        self._model, self._tokenizer, self._known = model, tokenizer, known
        self._stops = stop_ids(model.bundle)
        self._has_cache = False
        self._cached: list[int] = []  # the tokens in it

    def write(
        self,
        ids: Sequence[int],
        *,
        most: int,
        sampling: Sampling = GREEDY,
        number: int = 0,
        hear: Callable[[str], None] = lambda text: None,
    ) -> Written:
        """Writes behind a prompt.

        Args:
          ids: of the prompt; what the cache holds of its beginning is not read again.
          most: new tokens, at least 1.
          sampling: how they are chosen.
          number: of this text, whose draws are its own.
          hear: gets the text as it comes.

        Raises:
          InputError: no token, or more than there are positions.
          LossError: a logit is not finite.
          KeyboardInterrupt: a signal came.
        """
        context, ids = self._model.bundle.context, list(map(int, ids))
        check_prompt(self._model.bundle, len(ids))
        sampler, stream = Sampler(sampling, self._known, number), TextStream(self._tokenizer)
        started = time.monotonic()
        logits, read_tokens = self._read(ids)
        read_seconds = time.monotonic() - started
        sequence, ended, decode_seconds = list(ids), LENGTH, 0.0
        while True:
            signals.check()
            token = sampler.choose(logits, sequence)
            sequence.append(token)
            if token in self._stops:
                ended = STOP
                break
            hear(stream.add(token))
            if len(sequence) - len(ids) == most:
                break
            if len(sequence) > context:
                ended = CONTEXT
                break
            before = time.monotonic()
            logits = self._next(sequence)
            decode_seconds += time.monotonic() - before
        hear(stream.finish())
        new = sequence[len(ids) :]
        return Written(
            token_ids=tuple(new),
            text=text_of_ids(self._tokenizer, new[:-1] if ended == STOP else new),
            ended=ended,
            read_tokens=read_tokens,
            read_seconds=read_seconds,
            decoded_tokens=len(new) - 1,
            decode_seconds=decode_seconds,
            seconds=time.monotonic() - started,
        )

    def forget(self) -> None:
        """Drops what the cache holds: the model's parameters were changed."""
        self._cached = []

    def _read(self, ids):
        """Reads a prompt; returns (logits [V] behind it, tokens that were read)."""
        if not self._has_cache:
            self._model.initialize_cache()
            self._has_cache = True
        # The last token is always read: its logits are wanted.
        place = min(alike(self._cached, ids), len(ids) - 1)
        del self._cached[place:]
        count, logits = len(ids) - place, np.empty(0)
        for bucket, tokens in prefill_plan(count, self._model.bundle.prefills):
            signals.check()
            logits = self._model.prefill(ids[place : place + tokens], place, bucket)
            self._cached += ids[place : place + tokens]
            place += tokens
        return logits, count

    def _next(self, sequence):
        """Returns the logits [V] behind a text all of which but its last token is in the cache."""
        logits = self._model.prefill(sequence[-1:], len(sequence) - 1, 1)
        self._cached.append(sequence[-1])
        return logits


def stop_ids(bundle: Bundle) -> frozenset[int]:
    """Returns the ids that end a text."""
    eos = bundle.special_tokens.eos
    return frozenset(bundle.stop_ids) or frozenset([] if eos is None else [eos])


def check_prompt(bundle: Bundle, tokens: int) -> None:
    """Raises InputError for a prompt of no tokens, or of more than there are positions."""
    if tokens == 0:
        raise InputError("the prompt is empty, and this model begins no text by itself")
    if tokens > bundle.context:
        raise InputError(
            f"the prompt has {tokens} tokens, the bundle's context {bundle.context}; shorten it; "
            f"{longer_context(bundle)}"
        )


def longer_context(bundle: Bundle) -> str:
    """Says how a bundle's texts become longer, or that its model cannot have longer ones."""
    if bundle.context >= bundle.max_tokens:
        return "the model has no more positions"
    return (
        f"a longer --context at the export makes room, the model has {bundle.max_tokens} positions"
    )
