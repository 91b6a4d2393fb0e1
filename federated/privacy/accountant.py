"""ε of so many releases, and the noise for an ε. The only module that knows dp-accounting."""

from functools import partial
from typing import Any

from pocketllm.runtime.errors import InputError

from .plan import Plan

# Of Rényi's divergence. Fractions take a hundred times as long, for epsilons beyond 15
ORDERS = [*range(2, 65), 80, 96, 128, 192, 256, 512, 1024]
REMEDY = "install pocketllm[privacy]"


def epsilon_of(noise_multiplier: float, sampling_rate: float, releases: int, delta: float) -> float:
    """Returns ε of Gaussian releases on Poisson samples, by Rényi accounting.

    Args:
      noise_multiplier: standard deviation over sensitivity.
      sampling_rate: chance of a member to be in a sample.
      releases: their number.
      delta: δ.

    Raises:
      InputError: dp-accounting is not installed.
    """
    library, rdp = _library()
    accountant = rdp.RdpAccountant(ORDERS)
    accountant.compose(_event(library, noise_multiplier, sampling_rate), releases)
    return float(accountant.get_epsilon(delta))


def noise_for(epsilon: float, delta: float, sampling_rate: float, releases: int) -> float:
    """Returns the noise multiplier that keeps `releases` within ε; arguments as above.

    Raises:
      InputError: dp-accounting is not installed.
    """
    library, rdp = _library()

    def event_of(noise):
        return library.SelfComposedDpEvent(_event(library, noise, sampling_rate), releases)

    accountant = partial(rdp.RdpAccountant, ORDERS)
    return float(library.calibrate_dp_mechanism(accountant, event_of, epsilon, delta))


def check_installed() -> None:
    """Raises InputError where dp-accounting is not installed."""
    _library()


def check_plan(plan: Plan) -> None:
    """Raises InputError where a plan's noise does not keep what it promises."""
    epsilon = epsilon_of(plan.noise_multiplier, plan.sampling_rate, plan.releases, plan.delta)
    if epsilon > plan.epsilon * (1 + 1e-9):
        raise InputError(
            f"the federation promises epsilon {plan.epsilon:g}, its noise gives {epsilon:.4g}: "
            "refused"
        )


def _event(library, noise_multiplier, sampling_rate):
    gaussian = library.GaussianDpEvent(noise_multiplier)
    return library.PoissonSampledDpEvent(sampling_rate, gaussian)


def _library() -> tuple[Any, Any]:
    try:
        import dp_accounting
        from dp_accounting import rdp
    except ImportError as error:
        raise InputError(
            f"--private needs dp-accounting, which is not installed; {REMEDY}"
        ) from error
    return dp_accounting, rdp
