"""A federation without a model: parameters are six numbers, losses are a parabola's."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pocketllm.federated.answering import Client, answer
from pocketllm.federated.protocol import SEAL_BYTES
from pocketllm.federated.steps import NO_DATA
from pocketllm.federated.terms import Terms
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.optim.applied import apply_step
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.run.folder import RunConfig

CHECKSUM = "b" * 64
VALUES = 6


class Vector:
    """Perturbable: six numbers in place of a model's parameters."""

    def __init__(self):
        self.values = np.zeros(VALUES, np.float32)

    def perturb(self, seed, scale, decay=0.0, probe=0.0):
        """θ ← θ + scale · z(seed)."""
        self.values += np.float32(scale) * direction(seed)


class VectorReplica:
    """A Replica (replica.py) of a Vector; its losses are the distance to a target of its own."""

    def __init__(self, target: float, lie=None):
        self.model = SimpleNamespace(bundle=SimpleNamespace(checksum=CHECKSUM))
        self._target, self._lie = target, lie
        self._theta, self._at = Vector(), (0, None)

    def bring(self, folder, journal, say=None):
        """Does the steps again that are missing where it stands."""
        checksums = journal.checksums
        step = self._at[0]
        if step >= len(checksums) or checksums[step] != self._at[1]:
            step, self._theta = 0, Vector()
        for done in journal.steps[step:]:
            apply_step(self._theta, done)
        self._at = len(journal.steps), checksums[-1]

    def measure(self, config, numbers, batches_of):
        """Returns the losses of steps of MeZO, or what it is told to say instead."""
        eps, losses = config.settings.eps, []
        for number in numbers:
            z = direction(step_seed(config.seed, number))
            losses += [self._loss(eps * z), self._loss(-eps * z)]
        return self._lie(losses) if self._lie else losses

    def seal(self, number):
        """Returns the first bytes of a hash."""
        return hashlib.sha256(self._theta.values.tobytes()).digest()[:SEAL_BYTES]

    def _loss(self, probe):
        return float(np.mean((self._theta.values + probe - self._target) ** 2))


def direction(seed: int) -> np.ndarray:
    """Returns z(seed), [VALUES] float32."""
    return np.sin(np.arange(1, VALUES + 1) * (seed % 104729), dtype=np.float64).astype(np.float32)


def vector_after(steps) -> Vector:
    """Returns the parameters that the steps of a journal lead to."""
    theta = Vector()
    for step in steps:
        apply_step(theta, step)
    return theta


def vector_client(folder: Path, target: float, lie=None, **changes):
    """Returns what answers a question: a client of a run directory."""
    client = Client(folder, VectorReplica(target, lie), data=None, **changes)
    return lambda question: answer(client, question)


def config(steps: int = 8, **changes) -> RunConfig:
    """Returns a federation's config."""
    values = {"lr": 0.05, "eps": 1e-2, "weight_decay": 0.0, "lr_schedule": "constant"} | changes
    return RunConfig(CHECKSUM, NO_DATA, 4, 3, MezoSettings(steps=steps, **values), noise="codebook")


def terms(**changes) -> Terms:
    """Returns terms that never wait."""
    return Terms(**{"seconds": 1.0, "poll_seconds": 0.0, "patience": 50, "quorum": 1.0} | changes)
