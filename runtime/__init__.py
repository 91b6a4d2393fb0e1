"""The device's half: a bundle and data become a fine-tuned model (numpy, an interpreter, absl).

`from pocketllm.runtime import …` gives the public interface, imported at first use:

  read_bundle    a bundle's folder -> Bundle, verified
  open_model     Bundle -> Model in the engine that fits it; call model.initialize() first
  load_dataset   a data file -> Dataset, encoded for a bundle
  step_members   which examples a step sees
  step_seed      the seed of a step's direction
  batches_of     those examples -> micro-batches of the bundle's sizes
  mezo_step      one MeZO step with MezoSettings
  train          a run in a folder, described by RunConfig; it can be continued
  evaluate       accuracy, loss and metrics on a data set; of learnt text, its loss
  read_run       a run's folder -> what its steps applied
  replay         does steps again, without data; apply_step does one, in the graph
  Recorder       a model that notes what a step of your own does to it
  Applied        what a step did, for replay

Errors are InputError and RunError of `pocketllm.runtime.errors`. docs/guide/python.md has examples.
"""

from importlib import import_module
from typing import Any

# Public name -> the module that defines it.
_MODULES = {
    "Applied": "optim.applied",
    "MezoSettings": "optim.mezo",
    "Recorder": "optim.applied",
    "RunConfig": "run.folder",
    "apply_step": "optim.applied",
    "batches_of": "data.dataset",
    "evaluate": "run.evaluate",
    "load_dataset": "data.dataset",
    "mezo_step": "optim.mezo",
    "open_model": "engine.model",
    "read_bundle": "bundle.manifest",
    "read_run": "run.folder",
    "replay": "run.replay",
    "step_members": "data.order",
    "step_seed": "data.order",
    "train": "run.loop",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `pocketllm --help` needs none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the module's names, those not imported yet included."""
    return sorted({*globals(), *__all__})
