"""Example level: a client bounds each example's projected gradient, and adds the noise itself."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.data.batches import Batch
from pocketllm.runtime.data.dataset import Dataset, batches_of
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError

from .privacy.ledger import LEDGER, Ledger, Release
from .privacy.noise import bounded, mean_with_noise, sampled
from .privacy.plan import FederationConfig, SpentError
from .replica import Replica


def row_losses(model: Model, batch: Batch) -> np.ndarray:
    """Returns the loss of each row of a batch, [rows] float64, from the signature's logits.

    A row of tokens or of one option has the mean over its own, whatever the others' lengths.
    """
    logits = model.forward(batch)[contract.LOGITS][: batch.rows].astype(np.float64)
    if contract.LABEL not in batch.inputs:
        return -logits[:, 0]
    largest = logits.max(axis=1, keepdims=True)
    log_sums = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1))
    return log_sums - logits[np.arange(batch.rows), batch.inputs[contract.LABEL][: batch.rows]]


def released_slopes(
    folder: Path,
    replica: Replica,
    data: Dataset,
    config: FederationConfig,
    *,
    numbers: Sequence[int],
    at: int,
) -> tuple[float, ...]:
    """Returns the noised projected gradients of steps: all that leaves the client.

    What was released for a step at these parameters is returned again.

    Args:
      folder: the client's run directory, with its count of releases.
      replica: stands at the step before the first.
      data: the client's examples.
      config: the federation's, with a plan of the example level.
      numbers: of the steps.
      at: checksum of the journal there.

    Raises:
      SpentError: the budget does not allow it.
      InputError: too few examples for the plan.
    """
    plan = config.private
    assert plan
    count = len(data.examples)
    if config.batch_size > min(1.0, plan.sampling_rate) * count * (1 + 1e-12):
        raise InputError(
            f"this client has {count} examples, the federation's budget is for {plan.members} or "
            "more"
        )
    is_counted = (Path(folder) / LEDGER).exists()
    ledger = Ledger(folder)
    if not is_counted:  # somebody removed the count: every step may have been answered
        ledger.add(Release(numbers[0], at, times=numbers[0] - 1))
    new = [number for number in numbers if ledger.known(number, at, 1) is None]
    if ledger.spent + len(new) > plan.releases:
        raise SpentError(
            f"the privacy budget is spent: {ledger.spent} of {plan.releases} releases, and "
            f"{len(new)} more were asked for"
        )
    slopes = {number: _slope(replica, data, config, plan, number=number) for number in new}
    ledger.add(*(Release(number, at, (slope,)) for number, slope in slopes.items()))
    return tuple(value for number in numbers for value in ledger.known(number, at, 1) or ())


def _slope(replica, data, config, plan, *, number):
    """Returns a step's projected gradient on a sample that nobody else can draw, noised."""
    members = sampled(len(data.examples), config.batch_size / len(data.examples))
    bounds = bounded(_row_slopes(replica, data, config, members, number=number), plan.clip)
    std = plan.noise_multiplier * plan.clip
    return mean_with_noise(bounds.tolist(), config.batch_size, std, plan.clip)


def _row_slopes(replica, data, config, members, *, number):
    """Returns the projected gradient of each member, [members] float64."""
    if not members:
        return np.zeros(0)
    batches = batches_of(data, replica.model.bundle, members)
    sides: list[np.ndarray] = []

    def loss(batches):
        sides.append(np.concatenate([row_losses(replica.model, batch) for batch in batches]))
        return 0.0  # what is no number counts as 0 below, and ends nothing

    replica.measure(config, [number], lambda step: batches, loss)
    plus, minus = sides
    with np.errstate(invalid="ignore"):
        return (plus - minus) / (2 * config.settings.eps)
