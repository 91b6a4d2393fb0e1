"""A federation's steps from losses alone: the optimizer takes them, on no parameters."""

from collections.abc import Sequence
from typing import cast

from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.typed_json import typed
from pocketllm.runtime.optim.applied import Applied, Recorder
from pocketllm.runtime.optim.interface import JOURNALLED, Minibatch, ProbeSettings, Probing, Step
from pocketllm.runtime.optim.table import OPTIMIZERS
from pocketllm.runtime.run.folder import RunConfig

from .privacy.plan import PRIVATE_OPTIMIZER, FederationConfig, Plan

# What a federation's `config.json` has for the sha256 of its training data: nobody has all of it.
NO_DATA = "federated"


class _Nothing:
    """Perturbable without parameters."""

    def perturb(self, seed, scale, decay=0.0, probe=0.0):
        """Moves nothing."""


class Steps:
    """Takes the next steps of a run whose losses come from elsewhere.

    The optimizer's own arithmetic, so a run of one client has the records of a run without any.
    """

    def __init__(self, config: RunConfig, steps: Sequence[Applied]):
        """Begins behind the steps that a run holds."""
        self._config, self._recorder = config, Recorder(_Nothing())
        self._take = config.optimizer.begin(self._recorder, config.settings, steps)

    def take(self, number: int, losses: Sequence[float]) -> tuple[Step, Applied]:
        """Returns the line and the record of a step.

        Args:
          number: of the step.
          losses: of its places, in the optimizer's order.
        """
        following = iter(losses)
        seed = step_seed(self._config.seed, number)
        step = self._take(Minibatch(number, seed, (), lambda: next(following)))
        passes, decay = self._recorder.end_step()
        eps = cast(ProbeSettings, self._config.settings).eps
        return step, Applied(number, step.losses, step.lr, eps, passes, decay)


def probing_of(config: RunConfig) -> Probing:
    """Returns how the steps of a run measure slopes."""
    assert config.optimizer.probing
    return config.optimizer.probing(vars(config.settings))


def config_of(header: dict, steps: int) -> FederationConfig:
    """Returns what a journal's header says of its steps.

    Args:
      header: of a federation's journal.
      steps: length of the run, which a header does not say; schedules depend on it.

    Raises:
      InputError: no header of a federation.
    """
    optimizer = OPTIMIZERS.get(str(header.get("optimizer")))
    if optimizer is None or optimizer.kind != JOURNALLED:
        raise InputError(f"the optimizer is {header.get('optimizer')!r}, expected mezo or fzoo")
    try:
        private = typed(Plan | None, header.get("private"), "private")
        if private and optimizer.name != PRIVATE_OPTIMIZER:
            raise ValueError(f"private, with {optimizer.name}")
        return FederationConfig(
            bundle_checksum=str(header["bundle_checksum"]),
            train_sha256=str(header["train_sha256"]),
            batch_size=_whole(header["batch_size"]),
            seed=_whole(header["seed"]),
            settings=typed(optimizer.settings, header | {"steps": steps}, further=True),
            noise=str(header["noise"]),
            private=private,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the federation's header is damaged ({error}); ask again") from error


def _whole(value):
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"found {value!r}, expected a whole number")
    return value
