"""Noise and epsilon against dp-accounting's own numbers, and the formula without samples."""

import math

import pytest

dp_accounting = pytest.importorskip(
    "dp_accounting", reason="dp-accounting is not installed: make federated"
)

from dp_accounting import rdp

from pocketllm.federated.privacy.accountant import check_plan, epsilon_of, noise_for
from pocketllm.federated.privacy.ledger import Ledger
from pocketllm.federated.privacy.plan import CLIENT, EXAMPLE, Plan
from pocketllm.federated.privacy.promise import Promise, check_promise
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.flower
DELTA = 1e-5


@pytest.mark.parametrize(
    ("noise", "rate", "releases"), [(1.0, 0.05, 200), (12.0, 0.25, 500), (28.2, 1.0, 1000)]
)
def test_epsilon_is_the_librarys(noise, rate, releases):
    accountant = rdp.RdpAccountant()
    event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    accountant.compose(event, releases)

    ours = epsilon_of(noise, rate, releases, DELTA)

    assert ours == pytest.approx(
        accountant.get_epsilon(DELTA), rel=2e-3
    )  # by its own orders, fractions too


@pytest.mark.parametrize(("noise", "releases"), [(12.6, 200), (28.2, 1000), (63.1, 5000)])
def test_without_samples_epsilon_is_within_the_plain_bound_of_renyi(noise, releases):
    """T/2σ² + √(2T ln 1/δ)/σ: these noises are those of ε = 6. The library's bound is tighter."""
    plain = releases / (2 * noise**2) + math.sqrt(2 * releases * math.log(1 / DELTA)) / noise

    assert plain == pytest.approx(6.0, rel=0.01)
    assert 0.85 * plain < epsilon_of(noise, 1.0, releases, DELTA) < plain


@pytest.mark.parametrize(("epsilon", "rate", "releases"), [(2.0, 0.1, 600), (8.0, 1.0, 50)])
def test_the_noise_for_an_epsilon_keeps_it_and_less_would_not(epsilon, rate, releases):
    noise = noise_for(epsilon, DELTA, rate, releases)

    assert 0.999 * epsilon < epsilon_of(noise, rate, releases, DELTA) <= epsilon
    assert epsilon_of(0.99 * noise, rate, releases, DELTA) > epsilon


def planned(**changes):
    values = {
        "level": EXAMPLE, "epsilon": 6.0, "delta": DELTA, "clip": 50.0,
        "noise_multiplier": noise_for(6.0, DELTA, 0.1, 100), "sampling_rate": 0.1,
        "releases": 100, "members": 80,
    }  # fmt: skip
    return Plan(**values | changes)


def test_a_plan_whose_noise_does_not_keep_its_word_is_refused():
    check_plan(planned())
    for change in ({"noise_multiplier": 0.5}, {"releases": 200}, {"sampling_rate": 0.3}):
        with pytest.raises(InputError, match="promises epsilon 6, its noise gives"):
            check_plan(planned(**change))


def test_a_client_checks_a_federations_noise_once(tmp_path, monkeypatch):
    promise = Promise(6.0, DELTA)
    with pytest.raises(InputError, match="its noise gives"):
        check_promise(promise, planned(noise_multiplier=0.5), tmp_path, 7)
    check_promise(promise, planned(), tmp_path, 7)

    monkeypatch.setattr("pocketllm.federated.privacy.promise.check_plan", pytest.fail)
    check_promise(promise, planned(), tmp_path, 7)
    assert Ledger(tmp_path).spent == 0


def test_the_client_level_is_taken_where_it_is_named(tmp_path):
    check_promise(Promise(6.0, DELTA, CLIENT), planned(level=CLIENT), tmp_path, 7)
