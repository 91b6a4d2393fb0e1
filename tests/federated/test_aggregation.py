"""How many clients' losses become one: exact where nobody lies, bounded where somebody does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.federated.aggregation import (
    MOST_LOSS,
    RULES,
    Rule,
    aggregate,
    problem_of,
    usual_slope,
)

SIDES = [1, 2]


def honest(clients, losses=2, seed=0):
    """Losses near 0.7 whose slopes have the size 1e-3."""
    rng = np.random.default_rng(seed)
    return (0.7 + 1e-3 * rng.standard_normal((clients, losses))).tolist()


def slope(losses):
    return (losses[0] - losses[1]) / 2


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sides", SIDES)
def test_one_clients_losses_are_its_own_to_the_bit(rule, sides):
    losses = honest(1, losses=6)

    assert aggregate(losses, sides, Rule(rule), usual=0.0) == losses[0]


def test_the_mean_of_honest_losses_is_their_mean():
    losses = honest(4, losses=6)

    joined = aggregate(losses, 2, Rule("mean"), usual=1.0)

    assert joined == [math.fsum(column) / 4 for column in zip(*losses)]


@given(st.permutations(range(5)), st.sampled_from(RULES), st.sampled_from(SIDES))
@steady
def test_no_rule_depends_on_the_order_of_the_answers(order, rule, sides):
    losses = honest(5, losses=4)
    shuffled = [losses[i] for i in order]

    assert aggregate(losses, sides, Rule(rule), 0.0) == aggregate(shuffled, sides, Rule(rule), 0.0)


@pytest.mark.parametrize("rule", ["median", "trimmed"])
def test_two_liars_of_ten_do_not_turn_a_robust_rule_around(rule):
    truth = [[0.7 + 1e-3 * (1 + 0.1 * i), 0.7 - 1e-3] for i in range(8)]
    lies = [[0.7 - 10e-3, 0.7 + 10e-3]] * 2

    joined = slope(aggregate(truth + lies, 2, Rule(rule), usual=0.0))

    assert joined == pytest.approx(slope(np.mean(truth, axis=0)), rel=0.15)


def test_the_sign_is_that_of_the_majority_and_the_size_is_the_median():
    losses = [[0.71, 0.70], [0.72, 0.70], [0.70, 0.79]]

    joined = aggregate(losses, 2, Rule("sign"), usual=1.0)

    assert slope(joined) == pytest.approx(0.01)


def test_a_huge_slope_is_bounded_and_without_a_bound_it_rules_the_mean():
    losses = [*honest(9), [MOST_LOSS, -MOST_LOSS]]

    bounded = slope(aggregate(losses, 2, Rule("mean"), usual=0.0))
    unbounded = slope(aggregate(losses, 2, Rule("mean", clip=math.inf), usual=0.0))

    assert abs(bounded) < 0.02, "a tenth of ten times the usual slope, and the others'"
    assert unbounded == pytest.approx(MOST_LOSS / 10, rel=1e-3)


def test_the_usual_slope_keeps_a_small_round_from_bounding_the_honest():
    losses = [[0.700001, 0.7], [0.700001, 0.7], [0.71, 0.7]]

    alone = slope(aggregate(losses, 2, Rule(), usual=0.0))
    in_a_run = slope(aggregate(losses, 2, Rule(), usual=usual_slope([(0.705, 0.695)], 2)))

    assert alone < 1e-5
    assert in_a_run == pytest.approx(slope(np.mean(losses, axis=0)))


def test_slopes_of_one_side_are_taken_from_their_mean():
    assert usual_slope([(1.0, 1.0, 4.0)], 1) == pytest.approx(1.0)
    assert usual_slope([], 1) == 0.0


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([1.0], "1 losses, expected 2"),
        ([1.0, math.nan], "a loss that is not within"),
        ([math.inf, 1.0], "a loss that is not within"),
        ([1e30, 1.0], "a loss that is not within"),
    ],
)
def test_impossible_losses_are_refused(losses, words):
    assert words in problem_of(losses, 2)
    assert problem_of([0.5, 0.25], 2) is None
