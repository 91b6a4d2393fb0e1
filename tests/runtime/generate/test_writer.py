"""The loop that writes, on a model that is a table: what follows depends on the last token."""

from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.generate.sampling import Sampling
from pocketllm.runtime.generate.statistics import describe_end
from pocketllm.runtime.generate.writer import (
    CONTEXT,
    LENGTH,
    STOP,
    Writer,
    check_generates,
    check_prompt,
    known_ids,
    stop_ids,
)

WORDS = ["<s>", "</s>", "<end>", *"abcdefg"]
VOCABULARY = len(WORDS) + 2  # rows of the model that the tokenizer does not have
A = WORDS.index("a")


class Table:
    """A model that writes the alphabet behind `a`; it checks what it is asked to read."""

    def __init__(self, context=16, follows=None):
        special = SimpleNamespace(eos=1)
        self.bundle = SimpleNamespace(
            folder="table", context=context, max_tokens=200, prefills=(2, 4), stop_ids=(1, 2),
            special_tokens=special, config={"vocab_size": VOCABULARY},
        )  # fmt: skip
        self.follows = follows or {A + n: A + n + 1 for n in range(6)}
        self.cache, self.calls = None, []

    def initialize_cache(self):
        assert self.cache is None, "once"
        self.cache = {}

    def prefill(self, ids, position, bucket):
        assert bucket in (1, *self.bundle.prefills) and 1 <= len(ids) <= bucket
        assert all(place in self.cache for place in range(position)), "all before it was read"
        self.cache |= {position + n: number for n, number in enumerate(ids)}
        assert max(self.cache) < self.bundle.context
        self.calls.append((bucket, position, list(ids)))
        logits = np.zeros(VOCABULARY, np.float32)
        logits[len(WORDS) :] = 9  # the model's favourites are no tokens
        logits[self.follows.get(ids[-1], 1)] = 5
        return logits


def tokenizer():
    return Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "<s>"))


def writer_of(model):
    return Writer(model, tokenizer(), known_ids(tokenizer(), VOCABULARY))


def test_it_ends_at_a_stop_id_which_is_a_token_and_no_text():
    heard = []
    written = writer_of(Table()).write([A + 3], most=9, hear=heard.append)

    assert written.token_ids == (A + 4, A + 5, A + 6, 1) and written.ended == STOP
    assert written.text.split() == ["e", "f", "g"] and "".join(heard) == written.text
    assert (written.read_tokens, written.decoded_tokens) == (1, 3)


@pytest.mark.parametrize("stop", [1, 2])
def test_every_stop_id_ends_it(stop):
    written = writer_of(Table(follows={A: stop})).write([A], most=9)

    assert (written.token_ids, written.text, written.ended) == ((stop,), "", STOP)


def test_it_ends_with_as_many_tokens_as_were_wanted():
    model = Table(follows={A: A})
    written = writer_of(model).write([A], most=3)

    assert written.token_ids == (A,) * 3 and written.ended == LENGTH
    assert len(model.calls) == 3, "nothing is read behind the last token"


def test_it_ends_where_the_context_is_full():
    written = writer_of(Table(context=8, follows={A: A})).write([A] * 6, most=99)

    assert written.token_ids == (A,) * 3 and written.ended == CONTEXT


def test_a_prompt_is_read_in_the_plans_buckets():
    model = Table()
    writer_of(model).write([A] * 7, most=1)

    assert [(bucket, position, len(ids)) for bucket, position, ids in model.calls] == [
        (4, 0, 4), (4, 4, 3),
    ]  # fmt: skip


def test_a_chats_next_turn_reads_only_what_is_new():
    model = Table(context=40)
    writer = writer_of(model)
    first = writer.write([A, A + 1], most=3)
    model.calls.clear()
    turn = [A, A + 1, *first.token_ids, A, A]
    second = writer.write(turn, most=1)

    assert second.read_tokens == 3, "the last token written, and two new ones"
    assert model.calls == [(4, 4, turn[4:])]
    model.calls.clear()
    writer.write([A, A + 2], most=1)
    assert model.calls == [(1, 1, [A + 2])]
    writer.forget()
    model.calls.clear()
    assert writer.write([A, A + 2], most=1).read_tokens == 2


def test_rows_that_are_no_tokens_are_never_written():
    for temperature in (0.0, 3.0):
        model = Table(context=200, follows={A: A})
        written = writer_of(model).write([A], most=99, sampling=Sampling(temperature))
        assert all(number < len(WORDS) for number in written.token_ids)


def test_ids_that_the_tokenizer_lacks_are_known():
    assert known_ids(tokenizer(), VOCABULARY).tolist() == [True] * len(WORDS) + [False] * 2


def test_without_stop_ids_the_end_of_the_text_ends_it():
    bundle = Table().bundle
    assert stop_ids(bundle) == {1, 2}
    bundle.stop_ids = ()
    assert stop_ids(bundle) == {1}
    bundle.special_tokens.eos = None
    assert stop_ids(bundle) == set()


@pytest.mark.parametrize(
    ("ids", "message"), [([], "the prompt is empty"), ([A] * 17, "17 tokens, the bundle's context")]
)
def test_prompts_that_cannot_be_read_are_refused(ids, message):
    with pytest.raises(InputError, match=message):
        writer_of(Table()).write(ids, most=1)


def test_a_full_context_is_answered_by_a_longer_one_up_to_the_models_positions():
    longer = "a longer --context at the export makes room, the model has 200 positions"
    for context, remedy in ((8, longer), (200, "the model has no more positions")):
        model = Table(context=context, follows={A: A})
        written = writer_of(model).write([A] * context, most=99)
        assert describe_end(written, model.bundle, is_chat=False) == (
            f"the context of {context} tokens is full; {remedy}"
        )
        with pytest.raises(InputError, match=f"context {context}; shorten it; {remedy}$"):
            check_prompt(model.bundle, context + 1)


def test_ruined_parameters_are_an_error():
    model = Table()
    plain = model.prefill
    model.prefill = lambda *arguments: plain(*arguments) * np.float32(np.nan)
    with pytest.raises(LossError, match="not finite"):
        writer_of(model).write([A], most=1)


def test_a_bundle_without_signatures_that_generate_says_how_to_get_them():
    with pytest.raises(InputError, match="export it again with --generate"):
        check_generates(Table(context=0).bundle)
