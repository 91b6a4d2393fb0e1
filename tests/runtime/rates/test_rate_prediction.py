"""The predicted learning rate against losses whose best rate is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.meters.figures import meters_of
from pocketllm.runtime.meters.probes import Probes
from pocketllm.runtime.optim.interface import Probing
from pocketllm.runtime.rates.advice import advice_of
from pocketllm.runtime.rates.predicted import (
    NORMALISED_SHARE,
    RATE_SHARE,
    length_share,
    predicted_rate,
)
from pocketllm.runtime.rates.probe_size import chosen_size

SIZE = 60
MEZO = Probing()


def probes_of(curvatures, *, gradient, noise=0.0, count=64, rows=32, eps=1e-3, seed=0) -> Probes:
    """Probes of ½ Σ h θ² + Σ g θ, with a Gaussian gradient a row besides."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=[count, SIZE])
    rows_of_gradients = gradient + noise * rng.normal(size=[rows, SIZE])
    slopes = eps * z @ rows_of_gradients.T
    bend = 0.5 * eps**2 * (z**2 @ curvatures)[:, None]
    return Probes(eps, np.full(rows, 0.7), 0.7 + bend + slopes, 0.7 + bend - slopes, np.ones(rows))


def best_rate(curvatures, gradient, directions, noise, batch_size):
    """η* of a quadratic: n / ((1 + Bn / B) (T + (n + 1) λ))."""
    square = gradient @ gradient
    trace, along = curvatures.sum(), (curvatures * gradient**2).sum() / square
    scale = 1 + SIZE * noise**2 / square / batch_size
    return directions / (scale * (trace + (directions + 1) * along))


@pytest.mark.parametrize("directions", [1, 8])
@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("kind", ["flat", "one direction", "decaying"])
def test_the_rate_is_near_the_best_and_below_it(directions, noise, kind):
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=SIZE)
    curvatures = {
        "flat": np.full(SIZE, 5.0),
        "one direction": np.eye(1, SIZE)[0] * 300,
        "decaying": 300.0 / np.arange(1, SIZE + 1) ** 2,
    }[kind]
    if kind != "flat":  # the gradient lies where the curvature is, as of a model that is trained
        gradient = gradient * np.sqrt(curvatures)
    meters = meters_of(probes_of(curvatures, gradient=gradient, noise=noise))
    best = best_rate(curvatures, gradient, directions, noise, 16)
    rate = predicted_rate(meters, Probing(directions), 16, steps=50)

    # Many flat directions are what ‖H‖ in place of λ is furthest from.
    assert (0.12 if kind == "flat" else 0.3) < rate / (RATE_SHARE * best) < 1.25


def test_a_normalised_rate_is_the_rate_times_the_slope_of_a_minibatch():
    curvatures, gradient = np.full(SIZE, 5.0), np.ones(SIZE)
    meters = meters_of(probes_of(curvatures, gradient=gradient, noise=2.0))
    plain = predicted_rate(meters, MEZO, 8, 50)
    normalised = predicted_rate(meters, Probing(is_normalised=True), 8, 50)

    slope = math.sqrt(meters.batch_square(8))
    assert normalised == pytest.approx(plain * NORMALISED_SHARE * slope, rel=0.06)


@steady
@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_a_longer_run_takes_a_smaller_rate(first, second):
    shorter, longer = sorted((first, second))

    assert 0 < length_share(longer) <= length_share(shorter) <= 1
    assert length_share(100) == 1 and length_share(1000) == pytest.approx(0.1413, abs=1e-4)


def test_a_run_whose_steps_take_little_off_the_loss_keeps_its_rate():
    curvatures, gradient = np.full(SIZE, 500.0), np.full(SIZE, 0.01)
    meters = meters_of(probes_of(curvatures, gradient=gradient))
    short, long = (predicted_rate(meters, MEZO, 8, steps) for steps in (10, 20_000))
    assert 20_000 * short * meters.slope_square < 0.1 * meters.loss

    steep = meters_of(probes_of(curvatures, gradient=np.full(SIZE, 1.0)))

    assert long == short
    assert predicted_rate(steep, MEZO, 8, 20_000) < predicted_rate(steep, MEZO, 8, 10) / 50


def test_losses_that_never_change_have_no_rate():
    flat = np.full([4, 8], 0.5)
    meters = meters_of(Probes(1e-3, np.full(8, 0.5), flat, flat, np.ones(8)))

    assert predicted_rate(meters, MEZO, 8, 100) == 0.0
    assert chosen_size([np.zeros(4)] * 3, meters, MEZO, 1e-3) == 1e-3


METERS = meters_of(probes_of(np.full(SIZE, 5.0), gradient=np.ones(SIZE), noise=1.0))


@pytest.mark.parametrize(
    ("rounding", "bending", "factor"),
    [
        (0.0, 0.0, 1.0),
        (0.05, 0.0, 1.0),
        (0.5, 0.02, (0.25 / (2 * 0.0004)) ** (1 / 6)),
        (0.0, 0.5, 0.1),
    ],
)
def test_the_probes_size_weighs_rounding_against_bending(rounding, bending, factor):
    """Of slopes with errors of known size: rounding / s and bending · s² at s times the size."""
    rng = np.random.default_rng(2)
    slopes, bends = rng.normal(size=[2, 20000])
    given = [
        slopes + bending * bends * s**2 + rounding * rng.normal(size=20000) / s
        for s in (1.0, 0.5, 2.0)
    ]

    assert chosen_size(given, METERS, MEZO, 1e-3) == pytest.approx(1e-3 * factor, rel=0.2)


def test_slopes_of_rounding_take_a_larger_probe():
    rng = np.random.default_rng(2)
    slopes = rng.normal(size=20000)
    given = [slopes + 0.5 * rng.normal(size=20000) / s for s in (1.0, 0.5, 2.0)]

    assert chosen_size(given, METERS, MEZO, 1e-3) >= 2e-3


def test_one_side_takes_a_smaller_probe_where_the_curvature_is_an_error():
    exact = [np.random.default_rng(3).normal(size=50)] * 3
    error = METERS.one_sided_error
    curved = replace(METERS, one_sided_error=replace(error, value=0.6))

    assert chosen_size(exact, curved, Probing(8, 1, True), 1e-3) == 1e-4
    assert chosen_size(exact, curved, Probing(8, 2, True), 1e-3) == 1e-3


def test_what_wastes_most_of_a_run_is_said_and_nothing_else():
    scale = METERS.noise_scale
    clear = replace(METERS, noise_scale=replace(scale, value=3.0, low=2.0, high=5.0))
    unknown = replace(METERS, noise_scale=replace(scale, value=3.0, low=2.0, high=math.inf))

    (sentence,) = advice_of(clear, MEZO, 64, batch_rows=8)
    assert "--batch_size=64" in sentence and "--batch_size=8 takes nearly" in sentence
    assert advice_of(clear, MEZO, 24, batch_rows=8) == ()
    assert advice_of(clear, MEZO, 64, batch_rows=64) == ()
    assert advice_of(unknown, MEZO, 10**4, batch_rows=8) == ()
    wide = replace(clear, one_sided_error=replace(scale, value=1.5))
    (sentence,) = advice_of(wide, Probing(8, 1, True), 8, batch_rows=8)
    assert sentence.startswith("--eps=0.001 from one side") and "--sides=2" in sentence
    assert advice_of(wide, MEZO, 8, batch_rows=8) == ()
