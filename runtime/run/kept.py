"""An Adam run: steps, dev evaluations, the records of both, and the parameters it keeps."""

import statistics
import time
from pathlib import Path

from .. import contract
from ..bundle.contents import Bundle
from ..data.dataset import Dataset, batches_of
from ..data.order import step_members
from ..engine.model import Model
from ..errors import InputError, LossError, RunError
from ..host.memory import PeakMemory
from ..optim.adam import adam_step
from .folder import RunConfig, start_or_continue
from .lines import append_step, best_evaluation, best_step, read_evaluations
from .listening import Listener, Trained, check_last_step, dev_evaluations
from .lock import run_lock
from .parameters import drop_parameters, kept_steps, load_parameters, save_parameters
from .sessions import record_session


def check_adam(bundle: Bundle, batch_size: int) -> None:
    """Raises InputError unless the bundle can take an Adam step on so many examples."""
    if contract.ADAM not in bundle.optimizers:
        raise InputError(
            f"{bundle.folder}: the bundle's optimizers are {', '.join(bundle.optimizers)}, "
            "expected adam among them; export it with --optimizers=mezo,adam"
        )
    if batch_size > bundle.batch_size:
        raise InputError(
            f"--batch_size={batch_size}: an Adam step is one graph, this bundle's has "
            f"{bundle.batch_size} rows; take no more, or export with --optimizers=mezo,adam "
            f"--batch_size={batch_size}"
        )


def train_adam(
    model: Model,
    data: Dataset,
    folder: Path,
    config: RunConfig,
    dev: Dataset | None = None,
    eval_every: int = 0,
    listener: Listener = Listener(),
) -> Trained:
    """Runs Adam for `config.settings.steps`; keeps the best dev step's and the last parameters.

    A finished run takes no step: its last parameters are brought back and evaluated on a dev set
    that it has not seen.

    Args:
      model: initialised to the bundle's values.
      data: training examples.
      folder: the run directory.
      config: what the steps depend on; no more examples a step than the bundle's batch size.
      dev: examples to choose the best step by, or None.
      eval_every: steps between dev evaluations; 0 evaluates at the start and the end only.
      listener: told of steps and evaluations.

    Raises:
      InputError: the bundle is not for it, or the folder holds another run or part of this one.
      RunError: a loss is not finite, or the disk is full.
    """
    check_adam(model.bundle, config.batch_size)
    last = config.settings.steps

    def keep_if_best(record):  # before it is recorded: what is recorded as best can be loaded
        held = read_evaluations(folder, record.data_sha256)
        if best_evaluation([*held, record]) == record:
            _keep(model, folder, record.step)

    with PeakMemory() as memory, run_lock(folder):
        finished = start_or_continue(folder, config)
        evaluate_dev, _ = dev_evaluations(
            model, folder, last, dev, eval_every, listener, before_record=keep_if_best
        )
        try:
            evaluate_dev(0)
            if finished:
                load_parameters(model, folder, last)
                listener.replayed(last)
                evaluate_dev(last)
                return Trained(last, best_step(folder, last), 0.0, memory.peak())
            record_session(folder, 1, model)
            seconds = _take_steps(model, data, folder, config, memory, listener, evaluate_dev)
        except LossError as error:
            kept = ", ".join(map(str, kept_steps(folder))) or "none"
            raise RunError(
                f"{error}; start a new run with a smaller --lr (steps whose parameters this one "
                f"keeps: {kept})"
            ) from error
        return Trained(last, best_step(folder, last), statistics.median(seconds), memory.peak())


def _take_steps(model, data, folder, config, memory, listener, evaluate_dev):
    """Takes all steps of a run; returns the seconds of each."""
    last = config.settings.steps
    seconds = []
    model.initialize_adam()
    for number in range(1, last + 1):
        measured = listener.awaited()
        started = time.monotonic()
        members = step_members(len(data.examples), config.batch_size, config.seed, number)
        batches = batches_of(data, model.bundle, members)
        step = adam_step(model, batches[0], number, config.settings)
        seconds.append(time.monotonic() - started)
        peak = memory.peak()
        if number == last:  # before its line, with which the run is finished
            check_last_step(model, batches, last)
            _keep(model, folder, last)
        append_step(folder, step, seconds[-1], peak.anon_bytes, peak.rss_bytes, measured)
        listener.stepped(step, seconds[-1])
        evaluate_dev(number)
        if len(kept_steps(folder)) > 1:
            drop_parameters(folder, but={best_step(folder, number), last})
    return seconds


def _keep(model, folder, step):
    if step not in (0, *kept_steps(folder)):  # step 0's are the bundle's
        save_parameters(model, folder, step)
