"""A MeZO step on a quadratic in float64, where everything can be worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.optim.applied import Applied, Recorder, apply_step, undo_step
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step
from pocketllm.runtime.optim.schedule import learning_rate


class Quadratic:
    """loss = |theta|^2 / 2; the first value decays, the others do not."""

    def __init__(self, theta, dtype=np.float64):
        self.theta = np.array(theta, dtype)
        self.calls = []

    def z(self, seed):
        return np.random.default_rng(seed).standard_normal(self.theta.size).astype(self.theta.dtype)

    def perturb(self, seed, scale, decay=0.0, probe=0.0):
        self.calls.append((seed, scale, decay, probe))
        scale, decay, probe = map(self.theta.dtype.type, (scale, decay, probe))
        z = self.z(seed)
        moved = scale * z
        moved[0] -= decay * (self.theta[0] + probe * z[0])
        self.theta += moved

    def loss(self):
        return float(self.theta @ self.theta / 2)


def hyperparameters(**changes):
    values = {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 4}
    return MezoSettings(**values | changes)


def test_a_step_descends_along_z_by_the_projected_gradient():
    model = Quadratic([3.0, -1.0, 2.0])
    start, z = model.theta.copy(), model.z(seed=7)

    step = mezo_step(model, model.loss, 1, 7, hyperparameters())

    slope = start @ z  # exact for a quadratic: the eps^2 terms cancel
    assert step.projected_grad == pytest.approx(slope, rel=1e-9)
    np.testing.assert_allclose(model.theta, start - 0.1 * slope * z, rtol=1e-9)
    assert step.loss_plus == pytest.approx(np.sum((start + 1e-3 * z) ** 2) / 2, rel=1e-12)
    assert step.loss_minus == pytest.approx(np.sum((start - 1e-3 * z) ** 2) / 2, rel=1e-12)
    assert (step.step, step.seed, step.lr) == (1, 7, 0.1)


def test_a_step_is_three_noise_passes_with_the_same_seed():
    model = Quadratic([3.0, -1.0, 2.0])

    step = mezo_step(Recorder(model), model.loss, 1, 7, hyperparameters(lr=0.25, eps=0.5))

    # the journal holds the third scale as float32, so float32 is what the pass gets
    scales = [0.5, -1.0, float(np.float32(0.5 - 0.25 * step.projected_grad))]
    assert model.calls == [(7, scale, 0, 0) for scale in scales]


def test_both_losses_are_taken_at_the_ends_of_the_probe():
    model = Quadratic([0.0, 0.0])
    seen = []

    def loss():
        seen.append(model.theta.copy())
        return 1.0

    mezo_step(model, loss, 1, 3, hyperparameters(eps=0.25))

    np.testing.assert_allclose(seen, [0.25 * model.z(3), -0.25 * model.z(3)], rtol=1e-15)


def applied_steps(model, seed, settings, count=2):
    """Takes steps on a model; returns what they applied."""
    recorder, applied = Recorder(model), []
    for number in range(1, count + 1):
        step = mezo_step(recorder, model.loss, number, seed ^ number, settings)
        passes, decay = recorder.end_step()
        applied.append(Applied(number, step.losses, step.lr, settings.eps, passes, decay))
    return applied


thetas = st.lists(st.floats(-100, 100), min_size=1, max_size=8)


@steady
@given(thetas, st.integers(0, 2**31 - 1), st.floats(1e-3, 1), st.floats(0, 1))
def test_any_step_follows_the_slope_and_never_climbs(theta, seed, eps, share):
    model = Quadratic(theta)
    start, z = model.theta.copy(), model.z(seed)
    lr = share * 2 / (z @ z)  # beyond 2 / |z|^2 a step overshoots to where the loss is higher
    before = model.loss()

    step = mezo_step(model, model.loss, 1, seed, hyperparameters(lr=lr, eps=eps))

    size = 1 + np.abs(start).max()
    assert step.projected_grad == pytest.approx(start @ z, rel=1e-9, abs=1e-8 * size**2)
    np.testing.assert_allclose(
        model.theta, start - lr * (start @ z) * z, rtol=1e-9, atol=1e-7 * size**2
    )
    assert model.loss() <= before + 1e-6 * size**2


def test_a_linear_schedule_falls_from_lr_to_zero_after_the_last_step():
    settings = hyperparameters(lr=0.8, lr_schedule="linear", steps=4)

    rates = [learning_rate(settings, step) for step in (1, 2, 3, 4, 5, 9)]

    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0, 0.0], abs=1e-15)


def test_a_constant_schedule_stays():
    assert {learning_rate(hyperparameters(), step) for step in (1, 4, 1000)} == {0.1}


def test_the_scheduled_rate_is_the_one_a_step_uses_and_records():
    model = Quadratic([3.0, -1.0])
    settings = hyperparameters(lr=0.8, lr_schedule="linear", steps=4)

    step = mezo_step(Recorder(model), model.loss, 3, 7, settings)

    assert step.lr == pytest.approx(0.4)
    scale = float(np.float32(settings.eps - step.lr * step.projected_grad))
    assert model.calls[2] == (7, scale, 0, 0)


def test_weight_decay_takes_off_a_share_of_what_decays_as_it_was_before_the_step():
    """As the reference does: θ ← θ − lr · (g · z + weight_decay · θ)."""
    model = Quadratic([3.0, -1.0, 2.0])
    start, z = model.theta.copy(), model.z(7)

    step = mezo_step(model, model.loss, 1, 7, hyperparameters(weight_decay=0.5))

    slope = step.projected_grad * z + 0.5 * start * [1, 0, 0]
    np.testing.assert_allclose(model.theta, start - 0.1 * slope, rtol=1e-13)
    assert [decay for _, _, decay, _ in model.calls] == [0, 0, 0.1 * 0.5]


def test_weight_decay_follows_the_schedule():
    model = Quadratic([3.0, -1.0])
    settings = hyperparameters(lr=0.8, lr_schedule="linear", weight_decay=0.5)

    mezo_step(model, model.loss, 3, 7, settings)

    assert model.calls[-1][2] == pytest.approx(0.4 * 0.5)


@pytest.mark.parametrize(
    "losses", [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.inf), (-math.inf, 1.0)], ids=str
)
def test_a_loss_that_is_not_finite_ends_the_step_where_it_began(losses):
    model = Quadratic([3.0, -1.0, 2.0])
    start, answers = model.theta.copy(), iter(losses)

    with pytest.raises(RunError, match=r"^step 12: the loss is not finite") as error:
        mezo_step(model, lambda: next(answers), 12, 7, hyperparameters(weight_decay=0.5))

    assert f"loss_plus {losses[0]:g}, loss_minus {losses[1]:g}" in str(error.value)
    np.testing.assert_allclose(model.theta, start, rtol=1e-15, atol=1e-15)
    assert [(seed, decay) for seed, _, decay, _ in model.calls] == [(7, 0)] * 3


@steady
@given(
    thetas,
    st.integers(0, 2**31 - 1),
    st.floats(0, 10, width=32),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["constant", "linear"]),
)
def test_replaying_makes_the_same_calls_and_the_same_bits(theta, seed, lr, weight_decay, schedule):
    settings = hyperparameters(lr=lr, weight_decay=weight_decay, lr_schedule=schedule)
    trained, replayed = (Quadratic(theta, np.float32) for _ in range(2))

    for applied in applied_steps(trained, seed, settings):
        apply_step(replayed, applied)

    assert replayed.calls == trained.calls
    assert replayed.theta.tobytes() == trained.theta.tobytes()


@steady
@given(thetas, st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.5]))
def test_undoing_makes_the_calls_the_other_way_round(theta, seed, weight_decay):
    model = Quadratic(theta)
    start = model.theta.copy()
    applied = applied_steps(model, seed, hyperparameters(weight_decay=weight_decay))
    calls, model.calls = model.calls, []

    for step in reversed(applied):
        undo_step(model, step)

    back = [(seed, -scale) for seed, scale, *_ in reversed(calls)]
    assert [tuple(call[:2]) for call in model.calls] == back
    np.testing.assert_allclose(model.theta, start, rtol=1e-9, atol=1e-9 * (1 + np.abs(start).max()))


@pytest.mark.parametrize(("lr", "weight_decay"), [(1e-6, 0.02), (1e-7, 0.2), (1e-9, 0.1)])
def test_a_decay_that_a_float32_factor_cannot_hold_is_put_by_for_the_last_step(lr, weight_decay):
    model = Quadratic([3.0, -1.0])

    settings = hyperparameters(lr=lr, weight_decay=weight_decay, steps=3)
    applied = applied_steps(model, 7, settings, count=3)

    assert np.float32(1 - lr * weight_decay) == 1
    total = np.float32(3 * lr * weight_decay)
    assert [step.decay for step in applied] == [0, 0, pytest.approx(total, rel=1e-6)]
    assert model.calls[-1][2:] == (applied[-1].decay, np.float32(settings.eps))


def test_a_pass_behind_one_that_decays_is_a_fault_of_the_optimizer():
    recorder = Recorder(Quadratic([3.0]))
    recorder.perturb(1, 0.5)
    recorder.end_step()
    with pytest.raises(AssertionError, match="what decays is θ before"):
        recorder.perturb(1, 0.5, 0.25, probe=0.5)
    recorder.end_step()
    recorder.perturb(1, 0.5, 0.25)

    with pytest.raises(AssertionError, match="the pass that decays is the last of a step"):
        recorder.perturb(1, 0.5)
    assert recorder.end_step() == (((1, 0.5),), 0.25)
    assert recorder.end_step() == ((), 0.0)
