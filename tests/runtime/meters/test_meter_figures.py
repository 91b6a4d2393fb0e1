"""The meters of losses whose gradient, noise and curvature are known."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.meters.figures import meters_of
from pocketllm.runtime.meters.probes import Probes

SIZE = 40  # parameters
NAMES = ("trace", "curvature_norm")
EPS = 1e-3


class Quadratic:
    """L_i(θ) = (g + n_i)·θ + ½ θᵀ (H + h_i I) θ around θ = 0, one a row."""

    def __init__(self, seed: int, noise: float):
        rng = np.random.default_rng(seed)
        self.gradient = rng.normal(size=SIZE)
        self.noise = noise / math.sqrt(SIZE)  # of each value of a row's gradient
        vectors = rng.normal(size=[SIZE, SIZE])
        self.hessian = (vectors + vectors.T) / 2 + np.diag(np.abs(rng.normal(size=SIZE)) * 9)

    @property
    def truth(self) -> dict:
        square = self.gradient @ self.gradient
        spread = np.linalg.norm(self.hessian)
        return {
            "gradient_norm": math.sqrt(square),
            "noise_scale": self.noise**2 * SIZE / square,
            "trace": np.trace(self.hessian),
            "curvature_norm": spread,
            "one_sided_error": EPS * spread / math.sqrt(2 * square),
        }

    def probes(self, rng, count: int, rows: int, weights=None) -> Probes:
        z = rng.normal(size=[count, SIZE])
        gradients = self.gradient + self.noise * rng.normal(size=[rows, SIZE])
        slopes = z @ gradients.T * EPS
        bend = 0.5 * EPS**2 * np.einsum("ki,ij,kj->k", z, self.hessian, z)[:, None]
        # Each row's curvature has a share of its own, and its loss at θ an error of rounding.
        own = 1 + rng.normal(size=rows)
        bend = bend * (own / own.mean()) + EPS**2 * rng.normal(size=rows) * 30
        weights = np.ones(rows) if weights is None else weights
        return Probes(EPS, np.zeros(rows), bend + slopes, bend - slopes, weights)


@pytest.mark.parametrize(("count", "rows"), [(48, 48), (12, 24)])
@pytest.mark.parametrize("noise", [0.5, 20.0], ids=["clear", "noisy"])
def test_the_intervals_hold_the_truth(count, rows, noise):
    """Nominally in 95 of 100 samples; symmetric intervals of few probes are a little short."""
    quadratic, rng, samples = Quadratic(1, noise), np.random.default_rng(2), 100
    truth = quadratic.truth
    covered = dict.fromkeys(truth, 0)
    for _ in range(samples):
        meters = meters_of(quadratic.probes(rng, count, rows))
        for name, value in truth.items():
            estimate = getattr(meters, name)
            covered[name] += estimate.low <= value <= estimate.high

    least = 0.88 if count > 40 else 0.8
    assert all(number >= least * samples for number in covered.values()), covered


def test_several_sets_of_rows_give_the_same_figures_with_less_noise():
    """Nine directions: of one set of 16 rows, and three each of three sets."""
    quadratic, rng = Quadratic(1, 20.0), np.random.default_rng(3)
    whole, split = [], []
    for _ in range(150):
        whole.append(meters_of(quadratic.probes(rng, 9, 16)))
        split.append(meters_of(*(quadratic.probes(rng, 3, 16) for _ in range(3))))
    assert {(meters.probes, meters.rows, meters.sets) for meters in split} == {(9, 16, 3)}
    squares, more = ([m.slope_square - m.row_variance / 16 for m in s] for s in (whole, split))
    spreads = [meters.curvature_norm.value for meters in split]

    truth = quadratic.truth
    assert np.mean(more) == pytest.approx(truth["gradient_norm"] ** 2, rel=0.2)
    assert np.std(more) < np.std(squares)
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(truth["curvature_norm"], rel=0.2)


def test_many_probes_of_many_rows_give_the_truth():
    quadratic, rng = Quadratic(3, 20.0), np.random.default_rng(4)
    samples = [meters_of(quadratic.probes(rng, 40, 40)) for _ in range(60)]

    def mean(name):
        return np.mean([getattr(sample, name) for sample in samples])

    truth, noise = quadratic.truth, 20.0**2
    square = mean("slope_square") - mean("row_variance") / 40
    assert square == pytest.approx(truth["gradient_norm"] ** 2, rel=0.1)
    assert mean("row_variance") == pytest.approx(noise, rel=0.05)
    traces, spreads = ([getattr(s, name).value for s in samples] for name in NAMES)
    assert np.mean(traces) == pytest.approx(truth["trace"], rel=0.1)
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(truth["curvature_norm"], rel=0.05)


def test_curvature_does_not_change_slopes_and_slopes_do_not_change_curvature():
    quadratic, rng = Quadratic(5, 1.0), np.random.default_rng(6)
    probes = quadratic.probes(rng, 16, 16)
    doubled = Probes(EPS, probes.center, *_with_slopes(probes, 2.0), probes.weights)
    before, after = meters_of(probes), meters_of(doubled)

    assert after.gradient_norm.value == pytest.approx(2 * before.gradient_norm.value, rel=1e-9)
    assert after.trace.value == pytest.approx(before.trace.value, rel=1e-6)
    assert after.curvature_norm.value == pytest.approx(before.curvature_norm.value, rel=1e-6)
    assert after.noise_scale.value == pytest.approx(before.noise_scale.value, rel=1e-9)


def _with_slopes(probes, factor):
    even, odd = (probes.plus + probes.minus) / 2, (probes.plus - probes.minus) / 2
    return even + factor * odd, even - factor * odd


def test_rows_without_a_gradient_have_no_noise_scale():
    """Rows of opposite gradients: what is measured is noise, and the interval says so."""
    rng = np.random.default_rng(7)
    signs = np.tile([1.0, -1.0], 8)
    slopes = EPS * rng.normal(size=[8, 1]) * signs
    meters = meters_of(Probes(EPS, np.zeros(16), slopes, -slopes, np.ones(16)))

    assert (meters.gradient_norm.value, meters.noise_scale.value) == (0.0, math.inf)
    assert meters.one_sided_error.value == math.inf
    assert meters.noise_scale.high == math.inf
    assert meters.gradient_square > 0  # the rate that is predicted from it stays finite
    json.dumps(meters.summary(), allow_nan=False)


@steady
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_a_row_counts_as_its_weight_says(seed, noise):
    """A row of weight 2 moves the joint slope as two do, and a scale of all weights nothing."""
    quadratic, rng = Quadratic(8, noise), np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2, size=12)
    probes = quadratic.probes(rng, 6, 12, weights / weights.mean())
    meters = meters_of(probes)
    joint = (probes.slopes * weights).sum(axis=1) / weights.sum()

    assert meters.slope_square == pytest.approx((joint**2).mean(), rel=1e-9)


@steady
@given(st.integers(0, 2**32 - 1))
def test_figures_do_not_depend_on_the_order_of_probes_and_rows(seed):
    rng = np.random.default_rng(seed)
    probes = Quadratic(9, 3.0).probes(rng, 6, 7)
    chosen, members = rng.permutation(6), rng.permutation(7)
    other = Probes(
        EPS, probes.center, probes.plus[chosen][:, members], probes.minus[chosen][:, members],
        probes.weights,
    )  # fmt: skip

    flat, again = (_numbers(meters_of(sample)) for sample in (probes, other))
    np.testing.assert_allclose(flat, again, rtol=1e-7)


def _numbers(meters):
    values = meters.summary().values()
    nested = [list(v.values()) if isinstance(v, dict) else [v] for v in values]
    return np.array([math.inf if x is None else x for group in nested for x in group])
