"""What a private federation does to a number before it leaves: bounds, noise, grid, count."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.federated.privacy.ledger import LEDGER, Ledger, Release
from pocketllm.federated.privacy.noise import (
    bounded,
    bounded_vector,
    mean_with_noise,
    noised,
    sampled,
)
from pocketllm.federated.privacy.plan import GRID, Plan
from pocketllm.runtime.errors import InputError

ANY = st.floats(allow_nan=True, allow_infinity=True)
CLIP = st.floats(1e-6, 1e6)
PLAN = {
    "level": "example", "epsilon": 6.0, "delta": 1e-5, "clip": 2.0, "noise_multiplier": 1.0,
    "sampling_rate": 0.5, "releases": 4, "members": 16,
}  # fmt: skip


@given(st.lists(ANY, max_size=8), CLIP)
@steady
def test_no_example_weighs_more_than_the_clip(slopes, clip):
    result = bounded(np.array(slopes), clip)

    assert np.all(np.abs(result) <= clip)
    for before, after in zip(slopes, result):
        if abs(before) <= clip:
            assert after == before


@given(st.lists(ANY, min_size=1, max_size=8), CLIP)
@steady
def test_no_client_weighs_more_than_the_clip_and_its_numbers_are_on_the_grid(slopes, clip):
    result = np.array(bounded_vector(slopes, clip))

    places = result / (clip / GRID)
    np.testing.assert_allclose(places, np.round(places), atol=1e-6, rtol=0)
    assert sum(int(place) ** 2 for place in np.round(places)) <= GRID**2


def test_a_vector_within_the_clip_stays_and_a_longer_one_keeps_its_direction():
    assert bounded_vector((3.0, -4.0), 8.0) == (3.0, -4.0)
    np.testing.assert_allclose(bounded_vector((30.0, -40.0), 5.0), (3.0, -4.0), atol=5 / GRID)


def test_noise_has_the_standard_deviation_that_was_asked_for():
    count, std = 20_000, 3.0
    values = np.array([noised(1.0, std, 2.0) for _ in range(count)])

    # six standard errors
    assert abs(values.mean() - 1.0) < 6 * std / math.sqrt(count)
    assert abs(values.std() / std - 1) < 6 / math.sqrt(2 * count)
    places = values / (2.0 / GRID)
    assert np.array_equal(places, np.round(places)), "on the grid"


def test_the_noise_on_a_mean_is_that_on_the_sum_over_the_members():
    count = 20_000
    values = np.array([mean_with_noise([8.0, 8.0], 8, 4.0, 2.0) for _ in range(count)])

    assert abs(values.mean() - 2.0) < 6 * 0.5 / math.sqrt(count)
    assert abs(values.std() / 0.5 - 1) < 6 / math.sqrt(2 * count)


def test_noise_and_samples_follow_from_no_seed():
    drawn = []
    for _ in range(2):
        random.seed(3)
        np.random.seed(3)
        drawn.append(([noised(0.0, 1.0, 1.0) for _ in range(4)], sampled(200, 0.5)))

    assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_every_member_is_drawn_as_often_as_the_rate_says():
    counts = np.zeros(50)
    for _ in range(2000):
        counts[sampled(50, 0.25)] += 1

    assert np.all(np.abs(counts / 2000 - 0.25) < 6 * math.sqrt(0.25 * 0.75 / 2000))


@pytest.mark.parametrize(
    "change",
    [
        {"level": "all"}, {"epsilon": 0.0}, {"epsilon": math.inf}, {"delta": 0.0}, {"delta": 1.0},
        {"clip": -1.0}, {"noise_multiplier": 0.0}, {"noise_multiplier": math.nan},
        {"sampling_rate": 1.5}, {"releases": 0}, {"members": 0},
    ],
)  # fmt: skip
def test_a_plan_that_promises_nothing_is_refused(change):
    assert Plan(**PLAN)
    with pytest.raises(ValueError, match="no plan of differential privacy"):
        Plan(**PLAN | change)


def test_a_count_is_read_back_and_a_torn_line_was_never_sent(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(Release(1, 7, (0.5,)), Release(2, 7, (0.25,)))
    with open(tmp_path / LEDGER, "ab") as file:
        file.write(b'{"step": 3, "at"')

    again = Ledger(tmp_path)
    again.add(Release(3, 8, times=5))

    assert again.spent == Ledger(tmp_path).spent == 7
    assert Ledger(tmp_path).known(2, 7, 1) == (0.25,)
    assert Ledger(tmp_path).known(2, 8, 1) is None and Ledger(tmp_path).known(3, 8, 1) is None


def test_a_damaged_count_is_refused(tmp_path):
    (tmp_path / LEDGER).write_bytes(b'{"step": 1}\n')

    with pytest.raises(InputError, match="line 1 is damaged"):
        Ledger(tmp_path)
