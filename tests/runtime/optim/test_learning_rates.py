"""Learning rates over a run: warm-up, a constant, a line, a cosine, and their sums."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.optim.schedule import SCHEDULES, learning_rate, total_rate

SETTINGS = st.builds(
    AdamSettings,
    lr=st.floats(1e-6, 10),
    weight_decay=st.just(0.0),
    lr_schedule=st.sampled_from(SCHEDULES),
    steps=st.integers(1, 60),
    warmup_steps=st.integers(0, 70),
)


@given(SETTINGS)
def test_the_sum_is_that_of_the_steps(settings):
    rates = [learning_rate(settings, step) for step in range(1, settings.steps + 1)]

    assert all(0 < rate <= settings.lr for rate in rates)
    for step in range(settings.steps + 1):
        assert total_rate(settings, step) == pytest.approx(sum(rates[:step]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.2, 0.4, 0.4, 0.4, 0.4, 0.4]),
        ("linear", [0.2, 0.4, 0.4, 0.3, 0.2, 0.1]),
        ("cosine", [0.2, 0.4, *(0.2 + 0.2 * math.cos(math.pi * k / 4) for k in range(4))]),
    ],
)
def test_rates_rise_in_the_warm_up_and_then_follow_the_schedule(schedule, expected):
    settings = AdamSettings(0.4, 0.0, schedule, steps=6, warmup_steps=2)

    assert [learning_rate(settings, step) for step in range(1, 7)] == pytest.approx(expected)


def test_settings_without_a_warm_up_begin_with_the_whole_rate():
    settings = MezoSettings(0.4, 1e-3, 0.0, "cosine", 8)

    assert learning_rate(settings, 1) == 0.4 and learning_rate(settings, 5) == pytest.approx(0.2)
