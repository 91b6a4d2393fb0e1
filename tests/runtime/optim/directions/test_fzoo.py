"""A step along several directions on functions in float64, where everything can be worked out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_function import Function, fzoo_settings
from small_runs import steady

from pocketllm.runtime.data.order import direction_seeds
from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.optim.fzoo import fzoo_step
from pocketllm.runtime.optim.interface import Minibatch
from pocketllm.runtime.optim.normaliser import Normaliser
from pocketllm.runtime.optim.table import optimizer_of

SEED = 7


def step(model, chosen, number=1, normaliser=None):
    return fzoo_step(model, model.loss, number, SEED, chosen, normaliser=normaliser or Normaliser())


def linear(slope):
    return lambda theta: float(np.dot(slope, theta))


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("directions", [2, 3, 8])
def test_a_step_descends_along_its_directions_by_what_their_losses_show(directions, sides):
    slope = np.array([3.0, -1.0, 2.0])
    model, chosen = (
        Function([1.0, 2.0, -1.0], linear(slope)),
        fzoo_settings(directions=directions, sides=sides),
    )
    start = model.theta.copy()
    z = np.stack([model.z(seed) for seed in direction_seeds(SEED, directions)])

    result = step(model, chosen)

    slopes = z @ slope
    slopes -= slopes.mean() if sides == 1 else 0
    degrees = directions - 1 if sides == 1 else directions
    root = math.sqrt(slopes @ slopes / degrees)
    assert result.projected_grad == pytest.approx(root, rel=1e-9)
    assert result.divisor == pytest.approx(root, rel=1e-9), "the first step's own"
    moved = -0.1 / root * slopes @ z / degrees
    np.testing.assert_allclose(model.theta, start + moved, rtol=1e-9)
    assert np.linalg.norm(moved) > 1e-3
    places = [[1e-4], [1e-4, -1e-4]][sides - 1]
    losses = [slope @ (start + place * along) for along in z for place in places]
    np.testing.assert_allclose(result.losses, losses, rtol=1e-12)
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert (result.step, result.seed, result.lr) == (1, SEED, 0.1)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("directions", "sides"), [(2, 1), (8, 1), (7, 1), (1, 2), (8, 2), (7, 2)])
def test_what_a_step_costs(directions, sides, weight_decay):
    """One forward pass a direction and side; to it, to the other side, back, and the move."""
    model = Function([1.0, 2.0, -1.0])
    chosen = fzoo_settings(directions=directions, sides=sides, weight_decay=weight_decay)

    step(model, chosen)

    assert model.calls["loss"] == directions * sides
    assert sides == 2 or model.calls["loss"] / directions <= (directions + 1) / directions
    assert len(model.passes) == (2 + sides) * directions - 1


def test_losses_are_taken_where_one_direction_alone_is_probed():
    model, seen = Function([0.0, 0.0]), []
    model._loss = lambda theta: seen.append(theta.copy()) or len(seen)

    step(model, fzoo_settings(directions=3, eps=0.25))

    z = [0.25 * model.z(seed) for seed in direction_seeds(SEED, 3)]
    np.testing.assert_allclose(seen, z, atol=1e-15)


def test_a_constant_added_to_the_loss_changes_nothing():
    """Of the losses on one side only the differences count: published code centres on the loss at
    θ, and takes the curvature, the same along every direction, for a slope."""
    states = []
    for offset in (0.0, 1000.0):
        model = Function([1.0, 2.0, -1.0], lambda t, c=offset: float(t @ t / 2) + c)
        step(model, fzoo_settings(eps=0.1))
        states.append(model.theta)

    np.testing.assert_allclose(*states, rtol=1e-9)


@steady
@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=6),
    st.floats(1e-3, 1e3),
    st.integers(2, 9),
    st.sampled_from([1, 2]),
)
def test_the_scale_of_the_loss_changes_no_step(theta, scale, directions, sides):
    """What makes a learning rate carry over from one model to another."""
    chosen = fzoo_settings(directions=directions, sides=sides)
    models = [Function(theta, lambda t, c=c: c * float(np.sum(np.cos(t)))) for c in (1.0, scale)]
    for model in models:
        model.theta += 1.0
        normaliser = Normaliser()
        for number in (1, 2, 3):
            step(model, chosen, number, normaliser)

    np.testing.assert_allclose(models[0].theta, models[1].theta, rtol=1e-4, atol=1e-4)


@steady
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=12),
    st.floats(1e-6, 1.0),
    st.sampled_from([1, 2]),
)
def test_no_loss_makes_a_step_longer_than_the_memory_allows(losses, lr, sides):
    """A step is bounded whatever the losses are: the mean that divides holds the step's own."""
    losses = losses[: len(losses) // 2 * 2]
    directions = len(losses) // sides
    if directions == sides == 1:
        return
    chosen = fzoo_settings(lr=lr, directions=directions, sides=sides)
    model, normaliser = Function([0.0]), Normaliser()
    normaliser.take(1e-12, directions)  # next to nothing, for a long time
    for _ in range(400):
        normaliser.take(1e-12, directions)
    answers = iter(losses)
    model.loss = lambda: next(answers)

    step(model, chosen, normaliser=normaliser)

    seeds = direction_seeds(SEED, directions)
    updates = [
        math.fsum(scale for other, scale, *_ in model.passes if other == seed) for seed in seeds
    ]
    length = math.sqrt(math.fsum(update**2 for update in updates))
    newest = 1 - 0.99**directions
    assert length <= 1.001 * lr / math.sqrt(newest * chosen.degrees) + 1e-9


def test_a_step_of_equal_losses_goes_back_and_nowhere_else():
    model = Function([1.0, 2.0], lambda theta: 0.5)

    result = step(model, fzoo_settings())

    assert (result.projected_grad, result.divisor) == (0, 0)
    np.testing.assert_allclose(model.theta, [1.0, 2.0], rtol=1e-15)


def test_the_divisor_is_smoothed_and_has_a_floor():
    normaliser = Normaliser()
    kept = 0.99**8
    squares = [4.0, 9.0, 1.0]
    sums = weights = 0.0
    for square in squares:
        sums, weights = kept * sums + (1 - kept) * square, kept * weights + (1 - kept)
        assert normaliser.take(square, 8) == pytest.approx(math.sqrt(sums / weights), rel=1e-12)

    for _ in range(16):  # the rest of the first twenty, so that their median is 2
        normaliser.take(4.0, 8)
    for _ in range(500):
        last = normaliser.take(0.0, 8)
    assert last == pytest.approx(0.1 * 2.0)


def test_one_side_of_one_direction_is_refused():
    with pytest.raises(InputError, match=r"^--directions=1 with --sides=1: [^\n]*--sides=2$"):
        fzoo_settings(directions=1, sides=1)
    fzoo_settings(directions=1, sides=2)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_loss_that_is_not_finite_ends_the_step_where_it_began(at, bad, sides):
    model, calls = Function([3.0, -1.0, 2.0]), iter(range(1, 100))
    model.loss = lambda: bad if next(calls) == at else 1.0
    normaliser = Normaliser()
    chosen = fzoo_settings(directions=6, sides=sides, weight_decay=0.5)

    with pytest.raises(LossError, match=r"^step 12: the loss is not finite \([^\n]*\)$") as error:
        step(model, chosen, 12, normaliser)

    assert f"({bad:g} at direction {(at - 1) // sides + 1} of 6)" in str(error.value)
    np.testing.assert_allclose(model.theta, [3.0, -1.0, 2.0], rtol=1e-13)
    assert next(calls) == at + 1, "nothing is measured after it"
    assert normaliser.take(1.0, 1) == 1.0, "nor remembered"


@pytest.mark.parametrize(("directions", "sides"), [(4, 1), (3, 1), (4, 2), (1, 2)])
def test_weight_decay_takes_off_a_share_of_what_decays(directions, sides):
    model = Function([3.0, -1.0, 2.0], linear([0.5, 1.0, -0.3]))
    plain = Function([3.0, -1.0, 2.0], linear([0.5, 1.0, -0.3]))
    chosen = fzoo_settings(directions=directions, sides=sides)
    step(plain, chosen)

    step(model, replace(chosen, weight_decay=0.05))

    share = 1 - model.theta[0] / plain.theta[0]
    assert share == pytest.approx(0.1 * 0.05, rel=0.1), "of θ with the other directions' updates"
    np.testing.assert_allclose(model.theta[1:], plain.theta[1:], rtol=1e-12)


def test_the_seeds_of_a_steps_directions_differ():
    for seed in (0, 1, -1, 2**31 - 1, -(2**31)):
        seeds = direction_seeds(seed, 1024)
        assert len(set(seeds)) == 1024
        assert seeds[:5] == direction_seeds(seed, 5)
        assert all(-(2**31) <= each < 2**31 for each in seeds)


def test_a_quadratic_is_descended_at_half_the_losses_of_two_sides():
    """Of as many directions, one side takes half the losses and gets as far, within a tenth."""
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(60)
    ends = {}
    for sides in (1, 2):
        model = Function(theta)
        chosen = fzoo_settings(lr=0.5, directions=8, sides=sides, steps=200, lr_schedule="linear")
        take = optimizer_of(chosen).begin(model, chosen, ())
        for number in range(1, 201):
            take(Minibatch(number, number, (), model.loss))
        ends[sides] = (model.loss(), model.calls["loss"] - 1)

    assert ends[1][1] * 2 == ends[2][1]
    assert ends[1][0] < 1.1 * ends[2][0] + 0.01 * 30 and ends[1][0] < 0.1 * 30
