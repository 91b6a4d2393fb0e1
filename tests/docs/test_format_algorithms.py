"""A second implementation of what FORMAT.md specifies, written from the page, agrees with the code.

It has no NumPy and nothing of the runtime but a bundle's description: integers, lists, a tokenizer.
"""

import math
from dataclasses import replace

import numpy as np
import pages
import pytest
from encoding import causal_format, masked_format
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime import contract
from pocketllm.runtime.data import encode_causal, encode_masked
from pocketllm.runtime.data.batches import Row, micro_batches
from pocketllm.runtime.data.encoded import Encoded
from pocketllm.runtime.data.order import direction_seeds, step_members, step_seed
from pocketllm.runtime.data.reader import Example
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.optim.schedule import SCHEDULES, learning_rate
from pocketllm.runtime.tasks import causal, masked
from pocketllm.runtime.tasks.draws import drawn, split_places

U32 = 0xFFFFFFFF
int64s = st.integers(-(2**63), 2**63 - 1)


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x21F0AAAD & U32
    x ^= x >> 15
    x = x * 0xD35A2D97 & U32
    return x ^ x >> 15


def low(x: int) -> int:
    return x & U32


def scheduled(schedule: str, lr: float, step: int, steps: int, warmup: int) -> float:
    if step <= warmup:
        return lr * (step / warmup)
    k, f = step - 1 - warmup, max(1, steps - warmup)
    return {
        "constant": lr,
        "linear": lr * max(0.0, 1 - k / f),
        "cosine": lr * 0.5 * (1 + math.cos(math.pi * min(1.0, k / f))),
    }[schedule]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_page_names_every_schedule_and_gives_its_rates(schedule):
    page = (pages.ROOT / "tflite_models" / "FORMAT.md").read_text(encoding="utf-8")
    widths = page.split("## Number widths")[1].split("\n## ")[0]
    assert f"`{schedule}`" in widths and "`warmup_steps`" in widths
    for warmup in (0, 3, 12):
        settings = AdamSettings(0.02, 0.0, schedule, 9, warmup_steps=warmup)
        for step in range(1, 15):
            assert learning_rate(settings, step) == scheduled(schedule, 0.02, step, 9, warmup)


@steady
@given(seed=int64s, step=st.integers(1, 2**40))
def test_the_seed_of_a_step_is_two_hashes(seed, step):
    word = mix(mix(low(seed) ^ 0x165667B1) ^ mix(low(step)))

    assert step_seed(seed, step) == (word if word < 2**31 else word - 2**32)


@steady
@given(seed=st.integers(-(2**31), 2**31 - 1), number=st.integers(1, 256))
def test_the_seed_of_a_direction_is_two_hashes(seed, number):
    word = mix(low(seed) ^ mix(number ^ 0x94D049BB))

    expected = word if word < 2**31 else word - 2**32
    assert direction_seeds(seed, number)[-1] == expected


@steady
@given(count=st.integers(1, 40), batch=st.integers(1, 50), seed=int64s, step=st.integers(1, 10_000))
def test_the_members_of_a_step_are_sorted_hashes(count, batch, seed, step):
    def order(epoch):
        key = mix(mix(low(seed) ^ 0x27D4EB2F) ^ mix(low(epoch)))
        return sorted(range(count), key=lambda i: mix(i ^ key))

    places = [(step - 1) * batch + j for j in range(batch)]

    assert step_members(count, batch, seed, step) == [order(q // count)[q % count] for q in places]


def mersenne_twister(seed: int):
    """Yields the 32-bit outputs of MT19937 begun by init_genrand."""
    state = [seed & U32]
    for i in range(1, 624):
        state.append((1812433253 * (state[-1] ^ state[-1] >> 30) + i) & U32)
    while True:
        for i in range(624):
            y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7FFFFFFF)
            state[i] = state[(i + 397) % 624] ^ y >> 1 ^ (0x9908B0DF if y & 1 else 0)
        for y in state:
            y ^= y >> 11
            y ^= y << 7 & 0x9D2C5680
            y ^= y << 15 & 0xEFC60000
            yield y ^ y >> 18


def permutation(count: int) -> list[int]:
    outputs, places = mersenne_twister(0), list(range(count))
    for i in range(count - 1, 0, -1):
        bits = (1 << i.bit_length()) - 1
        j = next(value for value in (output & bits for output in outputs) if value <= i)
        places[i], places[j] = places[j], places[i]
    return places


@pytest.mark.parametrize("count", [1, 2, 9, 64, 65, 872])
def test_a_draw_is_the_permutation_of_a_mersenne_twister(count):
    assert drawn(count, 50) == permutation(count)[:50]
    train, dev = split_places(count, 20, 10)
    assert train + dev == permutation(count)[:30] and len(dev) == min(10, count)


@steady
@given(sizes=st.lists(st.integers(1, 16), min_size=1, max_size=20), batch_size=st.integers(1, 6))
def test_rows_fill_batches_from_the_longest_on(sizes, batch_size):
    ids = [np.arange(n, dtype=np.int32) for n in sizes]
    rows = [Row((Encoded(row, {"option_start": 1, "option_tokens": 1}, False),), 1) for row in ids]
    ordered = sorted(range(len(sizes)), key=lambda i: -sizes[i])  # a stable sort

    batches = micro_batches(rows, batch_size, (4, 8, 16), 99)

    assert [m for batch in batches for m in batch.members] == ordered
    for batch in batches:
        assert batch.tokens == min(t for t in (4, 8, 16) if t >= sizes[batch.members[0]])
        for filler in range(batch.rows, batch_size):
            assert batch.inputs["input_ids"][filler].tolist() == [99] * batch.tokens
            mask = batch.inputs["attention_mask"][filler].tolist()
            assert mask == [1] + [0] * (batch.tokens - 1)
            values = {"label": 0, "weight": 0, "option_start": 1, "option_tokens": 1}
            assert {name: batch.inputs[name][filler] for name in values} == values


@pytest.fixture(scope="session")
def tokenizer(golden_bundle):
    return load_tokenizer(golden_bundle.tokenizer_path)


def tokens_of(tokenizer, text: str, own: bool = False) -> list[int]:
    tokenizer.encode_special_tokens = not own
    return tokenizer.encode(text, add_special_tokens=False).ids


def masked_row(example, task, row_format):
    """Returns (row, mask_position) by the page's three steps, None where the prompt is too long."""
    special, pieces, most = row_format.special, [], row_format.tokens
    for piece in task.pieces:
        text = piece.text
        if piece.kind == "field":
            text = example.fields[piece.text]
            text = text[:-1] if piece.drop_last_char else text
            text = text[:1].lower() + text[1:] if piece.lower_first else text
            text = " " + text if piece.leading_space else text
        ids = tokens_of(row_format.tokenizer, text, own=piece.kind == "literal")
        pieces.append([special.mask] if piece.kind == "mask" else ids)
    fields = [i for i, piece in enumerate(task.pieces) if piece.kind == "field"]
    mask = [piece.kind for piece in task.pieces].index("mask")
    if task.first_field_reserve is not None:
        kept = max(most - task.first_field_reserve, most // 2)
        pieces[fields[0]] = pieces[fields[0]][:kept]

    def position():
        return 1 + sum(len(pieces[i]) for i in range(mask))

    if position() >= most:
        surplus = 2 + sum(map(len, pieces)) - most
        for i in (i for i in fields if i < mask):
            pieces[i] = pieces[i][: max(0, len(pieces[i]) - surplus)]
            surplus = max(0, position() + 1 - most)
        if position() + 1 > most:
            return None
    row = [special.bos, *(token for piece in pieces for token in piece), special.eos]
    return row[:most], position()


FIELDS = ("sentence", "text", "premise", "hypothesis")
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.lists(st.sampled_from(["<pad>", "</s>", "<mask>", " film", "a"]), max_size=6).map("".join),
)


@steady
@given(
    name=st.sampled_from(list(masked.TASKS)),
    fields=st.fixed_dictionaries(dict.fromkeys(FIELDS, texts)),
    tokens=st.integers(6, 80),
)
def test_a_masked_row_is_made_in_three_steps(name, fields, tokens, tokenizer):
    task = masked.TASKS[name]
    row_format, example = masked_format(task, tokenizer, tokens), Example(fields, 0, 2)
    expected = masked_row(example, task, row_format)

    try:
        actual = encode_masked.encode(example, row_format)
    except InputError:
        assert expected is None
    else:
        assert (actual.input_ids.tolist(), actual.target["mask_position"]) == expected


def causal_row(prompt, option, row_format):
    """Returns (row, target) by the page's rules, None for an error."""
    whole = prompt + option
    bos = [] if row_format.special.bos is None else [row_format.special.bos]
    row = bos + tokens_of(row_format.tokenizer, whole.lstrip().rstrip(" "))
    counted = [tokens_of(row_format.tokenizer, text.strip(" ")) for text in (whole, prompt)]
    n = len(counted[0]) - len(counted[1])
    words = row_format.scoring == contract.WORDS
    most = row_format.tokens + words
    if words and (n != 1 or row[-1] != row_format.word_ids[0] or len(row) < 2):
        return None
    if not words and not (0 < n <= min(row_format.option_tokens, most - 1) and n < len(row)):
        return None
    if len(row) > most:
        row = bos + row[len(row) - (most - len(bos)) :]
    if words:
        return row[:-1], {"last_position": len(row) - 2}
    return row, {"option_start": len(row) - n, "option_tokens": n}


@steady
@given(
    value=texts,
    template=st.sampled_from(["{text} It was", "{text}\n", "{text}", "It {text}: "]),
    scoring=st.sampled_from([contract.WORDS, contract.OPTIONS]),
    tokens=st.integers(4, 40),
    bos=st.sampled_from([0, None]),
)
def test_a_causal_row_is_cut_on_the_left(value, template, scoring, tokens, bos, tokenizer):
    choice = causal.WordChoice((" great", " terrible"), ("0", "1"), ("label",), {})
    task = replace(causal.TASKS["sst2"], template=template, columns={"text": ("text",)},
                   transforms={"text": "strip"}, choice=choice)  # fmt: skip
    (great,) = tokens_of(tokenizer, " great")
    row_format = causal_format(task, tokenizer, scoring, tokens, 20, word_ids=(great, 1))
    special = replace(row_format.special, bos=bos)
    row_format = replace(row_format, special=special)
    prompt = template.replace("{text}", value.strip())
    options = choice.words[:1] if scoring == contract.WORDS else choice.words
    expected = [causal_row(prompt, option, row_format) for option in options]

    try:
        (actual,) = encode_causal.encode_all([Example({"text": value}, 0, 2)], row_format, "f")
    except InputError:
        assert None in expected
    else:
        rows = [(row.input_ids.tolist(), row.target) for row in actual.sequences]
        assert rows == expected
