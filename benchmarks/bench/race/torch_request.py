"""What a trial in PyTorch is asked to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TorchRequest:
    """A trial of torch_trial.py, JSON-ready.

    Attributes:
      bundle: of the race: its LoRA, its task, its probes.
      weights: bundle of the same model that trains all parameters in float32.
      data: file of rows, which `split` divides into those to train on and those to choose by.
      split: as of `pocketllm train`.
      held_out: file of rows that are evaluated at the best step, or None.
      optimizer: "mezo" or "adam".
      lr: learning rate.
      schedule: of the learning rate.
      seed: of batches and directions.
      steps: length of the run.
      batch_size: rows a step.
      eval_every: steps between evaluations of the dev set.
      threads: of the kernels.
    """

    bundle: str
    weights: str
    data: str
    split: str
    held_out: str | None
    optimizer: str
    lr: float
    schedule: str
    seed: int
    steps: int
    batch_size: int
    eval_every: int
    threads: int
