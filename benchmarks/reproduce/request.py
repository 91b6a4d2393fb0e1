"""The request to the worker pytorch_run.py; this module does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One run in PyTorch.

    Attributes:
      bundle: folder of the bundle that gives model, weights, task and tokenizer.
      data: file of training rows.
      run: run directory to write; it does not exist yet.
      optimizer: "mezo" or "adam".
      batch_size: rows a step, in one forward pass.
      steps: number of steps.
      lr: learning rate, constant.
      eps: size of MeZO's probe, in units of z.
      seed: random seed of batches and directions.
      threads: kernel threads.
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
