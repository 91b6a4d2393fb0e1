"""Settings of a run that measures slopes: learning rate and probe size from the meters."""

from collections.abc import Callable

import numpy as np

from .. import contract
from ..data.dataset import Dataset, batches_of
from ..data.order import direction_seeds, step_members, step_seed
from ..engine.model import Model
from ..errors import InputError
from ..meters.figures import meters_of
from ..meters.probes import probe
from ..optim.interface import Probing
from .advice import advice_of
from .course import BEFORE_THE_FIRST, Course
from .plan import Plan, plan_of
from .predicted import ALONG, ALONG_OF_LORA, predicted_rate
from .probe_size import FACTORS, chosen_size
from .record import Choice


def plan_slopes(course: Course, data: Dataset, batch_rows: int, probing: Probing) -> Plan:
    """Returns what is measured before a run."""
    calls = course.steps * course.batches(batch_rows) * probing.forwards
    sizes = len(FACTORS) if course.eps is None else 1
    return plan_of(len(data.examples), batch_rows, calls, sizes=sizes)


def choose_by_slopes(
    model: Model,
    data: Dataset,
    course: Course,
    probing: Probing,
    *,
    progress: Callable[[int], None] = lambda calls: None,
) -> Choice:
    """Measures slopes and curvature, and chooses what the course leaves open.

    Args:
      model: at the run's first parameters; it is left within rounding of them.
      data: of the run.
      course: the run.
      probing: how its steps measure slopes.
      progress: told the calls of the forward signature done.

    Raises:
      InputError: no loss changes along any direction.
      LossError: a loss is not finite.
    """
    bundle = model.bundle
    plan = plan_slopes(course, data, bundle.batch_size, probing)
    rows = step_members(len(data.examples), plan.sets * plan.rows, course.seed, 1)
    seeds = direction_seeds(step_seed(course.seed, BEFORE_THE_FIRST), plan.probes)

    def probed(eps):
        how = {"eps": eps, "progress": progress}
        samples = []
        for number in range(plan.sets):
            members = rows[number * plan.rows : (number + 1) * plan.rows]
            batches, chosen = batches_of(data, bundle, members), seeds[number :: plan.sets]
            samples.append(probe(model, batches, bundle.scoring, seeds=chosen, **how))
        return samples

    # Below the bundle's eps a second difference is rounding; on integers it is near it too.
    factor = 1.0 if bundle.base == contract.FP32 else 2.0
    size = max(course.eps or 0.0, factor * bundle.default_eps)
    first = probed(size)
    meters, eps = meters_of(*first), course.eps
    if eps is None:
        sizes = [multiple * bundle.default_eps for multiple in FACTORS]
        tried = [first if other == size else probed(other) for other in sizes]
        eps = chosen_size([_slopes(samples) for samples in tried], meters, probing, sizes[0])
    chosen = {"eps": eps}
    if course.lr is None:
        along = ALONG_OF_LORA if bundle.tune == contract.LORA else ALONG
        chosen["lr"] = predicted_rate(meters, probing, course.batch_size, course.steps, along)
        if not chosen["lr"]:
            raise InputError(
                f"--lr=auto: no probe of {meters.eps:g} changes a loss, so there is no slope to "
                "measure; give --lr a number, or a larger --eps"
            )
    figures = {**meters.summary(), "calls": plan.calls, "run_calls": plan.run_calls}
    advice = advice_of(meters, probing, course.batch_size, bundle.batch_size)
    return Choice(chosen, figures, _line(chosen, course, meters, plan), advice)


def _slopes(samples):
    """Returns the joint slopes of all directions, [K]."""
    return np.concatenate([(s.slopes * s.weights).mean(axis=1) for s in samples])


def _line(chosen, course, meters, plan):
    """Says what was chosen and what was measured."""
    names = [name for name in ("lr", "eps") if getattr(course, name) is None]
    values = ", ".join(f"{name} {chosen[name]:.3g}" for name in names)
    return (
        f"{values}, measured: gradient norm {meters.gradient_norm.value:.3g}, noise scale "
        f"{meters.noise_scale.value:.2g} rows, curvature {meters.curvature:.3g}, along "
        f"{plan.probes} directions, {plan.rows} rows each ({100 * plan.share:.1f}% of the run's "
        "forward passes)"
    )
