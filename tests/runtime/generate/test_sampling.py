"""How tokens are chosen: as transformers' logits processors say, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.generate.sampling import (
    Sampler,
    Sampling,
    among_best,
    among_likely,
    check_sampling,
    cooled,
    drawn,
    penalised,
)

VOCABULARY = 50
ALL = np.ones(VOCABULARY, bool)


def scores_of(seed, count=VOCABULARY):
    return np.random.default_rng(seed).normal(0, 3, count).astype(np.float32)


@pytest.mark.desktop
@pytest.mark.parametrize("seed", range(8))
def test_every_step_is_transformers_logits_processor(seed):
    import torch
    from transformers import (
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    rng = np.random.default_rng(seed)
    scores, ids = scores_of(seed), rng.integers(0, VOCABULARY, 12).tolist()
    penalty, temperature = float(rng.uniform(0.5, 2)), float(rng.uniform(0.2, 2))
    count, share = int(rng.integers(1, VOCABULARY)), float(rng.uniform(0.05, 0.99))
    theirs = torch.tensor(scores[None])
    seen = torch.tensor([ids])
    ours = penalised(scores, ids, penalty)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(seen, theirs)
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-6)
    ours = cooled(ours, temperature) + ours.max() / temperature
    theirs = TemperatureLogitsWarper(temperature)(seen, theirs)
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-6)
    alone = among_likely(ours, share), TopPLogitsWarper(share)(seen, theirs)[0]
    ours, theirs = among_best(ours, count), TopKLogitsWarper(count)(seen, theirs)
    together = among_likely(ours, share), TopPLogitsWarper(share)(seen, theirs)[0]
    for mine, reference in (alone, (ours, theirs[0]), together):
        assert np.array_equal(np.isneginf(mine), np.isneginf(reference.numpy()))
        np.testing.assert_allclose(mine, reference, rtol=1e-6)


@steady
@given(st.integers(0, 1000), st.floats(0.01, 1.0), st.integers(0, 60))
def test_the_most_likely_token_is_always_among_those_drawn_from(seed, share, count):
    scores = scores_of(seed)
    left = among_likely(among_best(scores, count), share)

    assert left[np.argmax(scores)] == scores.max()
    kept = left > -np.inf
    assert not count or kept.sum() <= count
    assert scores[kept].min() >= scores[~kept].max() if (~kept).any() else True


@steady
@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_number_draws_the_token_whose_part_of_the_probability_holds_it(seed, number):
    scores = scores_of(seed, 9)
    weights = np.exp(scores.astype(np.float64))
    bounds = np.cumsum(weights / weights.sum())
    chosen = drawn(scores, number)

    assert bounds[chosen] >= number - 1e-12
    assert chosen == 0 or bounds[chosen - 1] <= number + 1e-12


def test_tokens_come_as_often_as_they_are_likely():
    scores = np.log(np.float32([0.5, 0.25, 0.125, 0.125]))
    sampler = Sampler(Sampling(temperature=1.0, seed=5), np.ones(4, bool))
    count = np.bincount([sampler.choose(scores, []) for _ in range(4000)], minlength=4)

    np.testing.assert_allclose(count / 4000, np.exp(scores), atol=0.03)


def test_a_seed_repeats_and_another_seed_or_text_does_not():
    scores = np.zeros(VOCABULARY, np.float32)

    def of(seed, text=0):
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), ALL, text)
        return [sampler.choose(scores, []) for _ in range(20)]

    assert of(1) == of(1)
    assert of(1) != of(2) and of(1, text=1) != of(1)
    # The same on every machine and with every version of NumPy: PCG64's numbers are fixed.
    assert of(7)[:8] == EXPECTED


EXPECTED = [31, 44, 38, 11, 15, 43, 0, 41]


@pytest.mark.parametrize("temperature", [5e-324, 1e-45, 1e-38, 1e-9])
def test_near_temperature_0_the_most_likely_token_is_drawn(temperature):
    known = np.arange(VOCABULARY) < 40
    scores = scores_of(3)
    sampler = Sampler(Sampling(temperature=temperature, top_k=9, top_p=0.9), known)

    assert {sampler.choose(scores, []) for _ in range(20)} == {int(np.argmax(scores[:40]))}


@pytest.mark.parametrize("temperature", [1e38, 1e300])
def test_at_a_huge_temperature_all_known_tokens_are_as_likely(temperature):
    sampler = Sampler(Sampling(temperature=temperature), np.arange(VOCABULARY) < 10)
    drawn_ids = [sampler.choose(scores_of(3), []) for _ in range(1000)]

    assert set(drawn_ids) == set(range(10))
    assert np.bincount(drawn_ids).min() > 60


@pytest.mark.parametrize("penalty", [1e-300, 1e-39, 1e39, 1e300])
def test_a_penalty_of_any_size_leaves_an_order(penalty):
    scores = np.float32([0, 2, 1, -1])

    assert np.isfinite(penalised(scores, [0, 1], penalty)).all()
    likely = Sampler(Sampling(repetition_penalty=penalty), ALL[:4]).choose(scores, [0, 1])
    assert likely == (1 if penalty < 1 else 2)


def test_at_temperature_0_the_most_likely_token_is_taken():
    scores = scores_of(3)
    sampler = Sampler(Sampling(top_k=1, top_p=0.1), ALL)

    assert sampler.choose(scores, []) == np.argmax(scores)


def test_a_penalty_counts_at_temperature_0_too():
    scores = scores_of(3)
    best = int(np.argmax(scores))
    sampler = Sampler(Sampling(repetition_penalty=100.0), ALL)

    assert sampler.choose(scores, [best]) != best


@pytest.mark.parametrize("temperature", [0.0, 1.0, 100.0])
def test_ids_that_the_tokenizer_lacks_are_never_chosen(temperature):
    scores, known = scores_of(4), ALL.copy()
    known[np.argsort(scores)[-40:]] = False
    sampler = Sampler(Sampling(temperature=temperature), known)

    assert all(known[sampler.choose(scores, [])] for _ in range(200))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_an_error(value):
    scores = scores_of(4)
    scores[3] = value
    with pytest.raises(LossError, match="not finite"):
        Sampler(Sampling(), ALL).choose(scores, [])
    known = ALL.copy()
    known[3] = False
    Sampler(Sampling(), known).choose(scores, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=f"--{name}="):
        check_sampling(Sampling(**{name: value}))
