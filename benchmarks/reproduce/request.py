"""What is asked of benchmarks/reproduce/pytorch_run.py; imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One run.

    Attributes:
      bundle: folder that gives model, weights, task and tokenizer.
      data: file of training rows.
      run: run directory to write, new.
      optimizer: "mezo" or "adam".
      batch_size: rows a step, in one forward pass.
      steps: length of the run.
      lr: learning rate, constant.
      eps: MeZO's probe.
      seed: of batches and directions.
      threads: of the kernels.
    """

    bundle: str
    data: str
    run: str
    optimizer: str
    batch_size: int
    steps: int
    lr: float
    eps: float
    seed: int
    threads: int
