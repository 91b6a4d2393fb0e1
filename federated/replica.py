"""A client's model: brought to a step of the federation's journal, and measured from there."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pocketllm.runtime.data.batches import Batch
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.journal.reader import Journal
from pocketllm.runtime.optim.applied import float32
from pocketllm.runtime.optim.interface import Minibatch
from pocketllm.runtime.run.folder import RunConfig
from pocketllm.runtime.run.replay import replay
from pocketllm.runtime.run.snapshots import restore, save_snapshot

from .protocol import SEAL_BYTES

RECOVERY_SECONDS = 2.0  # of replay, behind which a snapshot is taken

Batches = Callable[[int], Sequence[Batch]]


class Replica:
    """A model that stands at a step of a journal. Several clients may share it in one process."""

    def __init__(self, model: Model, *, resident: bool = False):
        """Takes a model at the bundle's initial values.

        Args:
          model: an open bundle.
          resident: whether to keep a copy of the parameters, which spares the replay where the
            process answers more than once, and takes their memory twice.
        """
        self.model, self._resident = model, resident
        self._at: tuple[int, int] | None = None  # step and checksum; None: nowhere
        self._copy = None
        self._is_moved = False

    def bring(self, folder: Path, journal: Journal, say=lambda line: None) -> None:
        """Brings the model to the last step of a journal, from where it stands if it can.

        Args:
          folder: of the journal; its snapshots are used, and one is taken where it is worth it.
          journal: read from there.
          say: told of a snapshot that cannot be used.
        """
        steps, checksums = len(journal.steps), journal.checksums
        if self._at == (steps, checksums[steps]) and not self._is_moved:
            return
        start = self._start(checksums)
        if start is None:
            self.model.initialize()
            start = restore(self.model, folder, steps, say)
        started = time.monotonic()
        replay(self.model, journal.steps[start:])
        if time.monotonic() - started > RECOVERY_SECONDS:
            save_snapshot(self.model, folder, steps, checksums[steps])
        self._at, self._is_moved = (steps, checksums[steps]), False
        if self._resident:
            self._copy = {name: values.copy() for name, values in self.model.read()}

    def measure(
        self,
        config: RunConfig,
        numbers: Sequence[int],
        batches_of: Batches,
        loss_of: Callable[[Sequence[Batch]], float] | None = None,
    ) -> list[float]:
        """Returns the losses of steps, all of them at the parameters that stand here.

        Args:
          config: the run's.
          numbers: of the steps.
          batches_of: step -> its minibatch.
          loss_of: gives the loss of a minibatch at the present parameters; None: the model's.

        Raises:
          LossError: a loss is not finite.
        """
        losses = []
        self._is_moved = True
        for number in numbers:
            batches = batches_of(number)
            probe = _Probe(self.model, config)
            try:
                losses += probe.losses(number, batches, loss_of or self.model.loss)
            finally:
                probe.go_back()
        return losses

    def seal(self, number: int) -> bytes:
        """Returns SEAL_BYTES over a slice of the parameters, another one at each step."""
        digest = hashlib.sha256()
        for name, values in self.model.read_slice(number % self.model.bundle.slices, release=False):
            digest.update(name.encode() + values.tobytes())
        return digest.digest()[:SEAL_BYTES]

    def sha256(self) -> str:
        """Returns the sha256 of all parameters, in the order of their names in each slice."""
        digest = hashlib.sha256()
        for name, values in self.model.read():
            digest.update(name.encode() + values.tobytes())
        return digest.hexdigest()

    def _start(self, checksums):
        """Returns the step that the model can go on from, None where it must begin anew."""
        if self._at is None:
            return None
        step, checksum = self._at
        if step >= len(checksums) or checksums[step] != checksum:
            return None
        if self._is_moved:
            if self._copy is None:
                return None
            self.model.write(self._copy)
        return step


class _Probe:
    """Perturbable: lets a step's probes through to a model, and not its update."""

    def __init__(self, model: Model, config: RunConfig):
        assert config.optimizer.probing
        self._model, self._config = model, config
        self._left = config.optimizer.probing(vars(config.settings)).forwards
        self._moved: dict[int, float] = {}

    def losses(
        self,
        number: int,
        batches: Sequence[Batch],
        loss_of: Callable[[Sequence[Batch]], float],
    ) -> tuple[float, ...]:
        """Returns the losses of a step in the optimizer's order."""

        def loss():
            self._left -= 1
            return loss_of(batches)

        take = self._config.optimizer.begin(self, self._config.settings, ())
        return take(Minibatch(number, step_seed(self._config.seed, number), batches, loss)).losses

    def perturb(self, seed: int, scale: float, decay: float = 0.0, probe: float = 0.0) -> None:
        """Makes a probe's pass."""
        if self._left:
            self._moved[seed] = self._moved.get(seed, 0.0) + float32(scale)
            self._model.perturb(seed, scale)

    def go_back(self) -> None:
        """Brings the parameters back, within rounding."""
        for seed, scale in self._moved.items():
            if scale:
                self._model.perturb(seed, -scale)
