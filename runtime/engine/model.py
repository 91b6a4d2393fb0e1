"""Model: a bundle open in an engine, its signatures as methods; `open_model` opens one."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from .. import contract
from ..bundle.contents import Bundle
from ..data.batches import Batch
from ..errors import InputError
from ..host.cpu import cores
from .interface import Engine
from .interpreter import InterpreterEngine
from .packed_weights import open_packed, packs

# tflite-runtime 2.14 has no products of float rows with integers that have a scale an output.
QUANTISED_ENGINE = "litert"


class Model:
    """The bundle's signatures as methods: θ (the trainable state) is held by the engine.

    Attributes:
      bundle: what was opened.
      engine: what runs it.
    """

    def __init__(self, bundle: Bundle, engine: Engine):
        self.bundle = bundle
        self.engine = engine

    def initialize(self, progress: Callable[[int], None] = lambda done: None) -> None:
        """Sets θ to the bundle's initial values; call it once, before anything else.

        It goes slice by slice, and drops the pages of the file that were read.

        Args:
          progress: called with 1 after each of `bundle.slices` slices.
        """
        for number in range(self.bundle.slices):
            self.engine.run(contract.numbered(contract.INITIALIZE, number))
            self.engine.release_file_pages()
            progress(1)

    def forward(self, batch: Batch) -> dict[str, np.ndarray]:
        """Runs one batch; returns loss [1], weight_sum [1], logits [B, C]."""
        return self.engine.run(contract.forward_loss_for(batch.tokens), **batch.inputs)

    def loss(self, batches: Sequence[Batch]) -> float:
        """Returns the mean loss of micro-batches, joined by their weight sums in float64."""
        return _joined(map(self.forward, batches), 1)[0]

    def pair(self, batches: Sequence[Batch], seed: int, eps: float) -> tuple[float, float]:
        """Returns the mean losses at θ + eps · z and θ − eps · z, z = z(seed); θ does not move.

        eps is rounded to float32. Only a bundle that `has_pairs` has the signature.
        """
        probe = {contract.SEED: np.array([seed], np.int32), contract.EPS: _float32(eps)}
        names = ((contract.forward_pair_for(batch.tokens), batch.inputs) for batch in batches)
        plus, minus = _joined((self.engine.run(n, **inputs, **probe) for n, inputs in names), 2)
        return plus, minus

    def perturb(self, seed: int, scale: float, decay: float = 0.0, probe: float = 0.0) -> None:
        """θ ← θ + (scale · z − decay · (θ + probe · z)), z = z(seed), in place.

        Biases and layer norms do not decay. All three numbers are rounded to float32.
        """
        inputs = {contract.SEED: np.array([seed], np.int32), contract.SCALE: _float32(scale)}
        share = _float32(decay)
        if share[0] == 0:
            self.engine.run(contract.PERTURB_AND_UPDATE, **inputs)
        else:
            inputs |= {contract.DECAY_SHARE: share, contract.PROBE: _float32(probe)}
            self.engine.run(contract.PERTURB_AND_DECAY, **inputs)

    def decay(self, factor: float) -> None:
        """θ ← factor · θ for the parameters that decay; a factor near 1 has only 7 digits."""
        self.engine.run(contract.DECAY, **{contract.FACTOR: _float32(factor)})

    def initialize_adam(self) -> None:
        """Sets the moments to zero, which makes them take memory; before the first `adam_step`."""
        self.engine.run(contract.ADAM_INITIALIZE)

    def adam_step(self, batch: Batch, step: int, lr: float, factor: float) -> float:
        """θ ← θ + ((factor − 1) · θ − lr · m̂ / (√v̂ + 1e-8)), in place; returns the loss before.

        Args:
          batch: the whole minibatch: one call is one step.
          step: 1 for the first, for the bias correction.
          lr: learning rate.
          factor: of the parameters that decay, 1 - lr · weight_decay.
        """
        outputs = self.engine.run(
            contract.adam_step_for(batch.tokens),
            **batch.inputs,
            **{
                contract.LR: _float32(lr),
                contract.STEP: np.array([step], np.int32),
                contract.FACTOR: _float32(factor),
            },
        )
        return float(outputs[contract.LOSS][0])

    def clear_gradients(self) -> None:
        """Sets the sums of gradients to 0."""
        self.engine.run(contract.GRADIENTS_INITIALIZE)

    def accumulate(self, batch: Batch) -> tuple[float, float]:
        """Adds a micro-batch's gradient times its weight sum; returns (loss, weight sum)."""
        outputs = self.engine.run(contract.adam_accumulate_for(batch.tokens), **batch.inputs)
        return float(outputs[contract.LOSS][0]), float(outputs[contract.WEIGHT_SUM][0])

    def gradient_norm(self) -> float:
        """Returns the norm of the sums of gradients, all together."""
        return float(self.engine.run(contract.GRADIENT_NORM)[contract.NORM][0])

    def apply_adam(self, step: int, lr: float, factor: float, scale: float) -> None:
        """Takes a step as `adam_step` does, of the gradient that is the sums times `scale`."""
        inputs = {contract.LR: _float32(lr), contract.FACTOR: _float32(factor)}
        inputs |= {contract.STEP: np.array([step], np.int32), contract.SCALE: _float32(scale)}
        self.engine.run(contract.ADAM_APPLY, **inputs)

    def apply_sgd(self, lr: float, factor: float, scale: float) -> None:
        """θ ← θ + ((factor − 1) · θ − lr · gradient), of the sums times `scale`."""
        inputs = {contract.LR: _float32(lr), contract.FACTOR: _float32(factor)}
        self.engine.run(contract.SGD_APPLY, **inputs, **{contract.SCALE: _float32(scale)})

    def initialize_cache(self) -> None:
        """Sets the cache to zero, which makes it take memory; before the first `prefill`."""
        self.engine.run(contract.CACHE_INITIALIZE)

    def prefill(self, ids: Sequence[int], position: int, bucket: int) -> np.ndarray:
        """Reads tokens into the cache; returns the logits [V] of the one behind them.

        Args:
          ids: at most `bucket`.
          position: of the first, in the sequence; what stands before it is in the cache.
          bucket: of `bundle.prefills`, or 1.
        """
        inputs = {contract.POSITION: np.array([position], np.int32)}
        padded = np.zeros([1, bucket], np.int32)
        padded[0, : len(ids)] = ids
        if bucket > 1:
            inputs[contract.TOKENS] = np.array([len(ids)], np.int32)
        inputs[contract.INPUT_IDS] = padded
        outputs = self.engine.run(contract.prefill_for(bucket), **inputs)
        return outputs[contract.LOGITS][0]

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (variable name, values) of the trainable state, slice by slice."""
        for number in range(self.bundle.slices):
            yield from self.read_slice(number)

    def read_slice(self, number: int, release: bool = True) -> list[tuple[str, np.ndarray]]:
        """Returns (variable name, values) of one of `bundle.slices` slices, by name.

        Where its memory is not released, the slice is read again in a sixth of the time.
        """
        signature = contract.numbered(contract.READ, number)
        run = self._run_once if release else self.engine.run
        return sorted(run(signature).items())

    def read_moments(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (name, values) of the moments, slice by slice; after `initialize_adam`."""
        for signature in self.bundle.moment_readers:
            yield from sorted(self._run_once(signature).items())

    def write_moments(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the moments, as `write` does the trainable state."""
        for number in range(len(self.bundle.moment_readers)):
            self._write(contract.numbered(contract.ADAM_WRITE, number), values)

    def write(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the trainable state; `values` holds every variable, as from `read`.

        They are taken out slice by slice: a mapping that reads them from a file needs no more
        memory than that.

        Raises:
          ValueError: a variable of another shape or dtype.
        """
        for number in range(self.bundle.slices):
            self._write(contract.numbered(contract.WRITE, number), values)

    def rewrite(self, change: Callable[[dict[str, np.ndarray]], None]) -> None:
        """Lets `change` alter the trainable state in place, slice by slice: {name: values}."""
        for number in range(self.bundle.slices):
            values = self._run_once(contract.numbered(contract.READ, number))
            change(values)
            self._run_once(contract.numbered(contract.WRITE, number), **values)
            del values  # or it would stay while the next slice comes

    def _write(self, signature, values):
        expected = self.bundle.signatures[signature]["inputs"]
        tensors = {name: values[name] for name in expected}
        for name, value in tensors.items():  # an interpreter would take any shape
            if [value.dtype.name, list(value.shape)] != expected[name]:
                given = f"{value.dtype.name} {list(value.shape)}"
                raise ValueError(f"{name} is {given}, expected {expected[name]}")
        self._run_once(signature, **tensors)

    def _run_once(self, signature, **inputs):
        outputs = self.engine.run(signature, **inputs)
        self.engine.release_tensors(signature)
        return outputs


def _joined(outputs, count):
    """Returns `count` mean losses of micro-batches, joined by their weight sums."""
    totals, weight = [0.0] * count, 0.0
    for each in outputs:
        weight_sum = float(each[contract.WEIGHT_SUM][0])
        losses = each[contract.LOSS][:count]
        totals = [total + float(loss) * weight_sum for total, loss in zip(totals, losses)]
        weight += weight_sum
    return [total / weight if weight else math.nan for total in totals]


def _float32(value):
    with np.errstate(over="ignore"):  # infinite then, and so is the next loss, which says so
        return np.array([value], np.float32)


def open_model(
    bundle: Bundle,
    *,
    engine: str = "litert",
    threads: int | None = None,
    packed_in_file: bool = True,
    calls: Collection[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """Opens a bundle's model file, not initialised yet.

    A frozen base that the engine can share is opened with its packed weights; where an Interpreter
    is wanted nevertheless, build it: Model(bundle, InterpreterEngine(...)).

    Args:
      bundle: from `read_bundle`.
      engine: "litert" or "tflite".
      threads: of the kernels; None takes all cores.
      packed_in_file: whether packed weights lie in a file beside the model (made if none fits),
        not in memory.
      calls: names or stems of the signatures that will be called beside `contract.BASIC`; None: all
        can be. Every other operator takes up to 3 kB.
      say: prints a line, when that file is made.

    Raises:
      InputError: the engine has no kernels for the bundle's base, cannot be opened, or the file of
        packed weights cannot be written.
    """
    if bundle.base != contract.FP32 and engine != QUANTISED_ENGINE:
        raise InputError(
            f"{bundle.folder}: its base is {bundle.base}, which the engine {engine!r} cannot "
            f"run; take --engine={QUANTISED_ENGINE}, or export with --base=fp32"
        )
    threads = threads or cores()
    calls = None if calls is None else contract.BASIC.union(calls)
    if packs(bundle, engine):
        engine_of_base = open_packed(bundle, threads, in_file=packed_in_file, calls=calls, say=say)
        return Model(bundle, engine_of_base)
    if calls is not None:  # the delegate is described by the first subgraph
        calls |= {contract.forward_loss_for(bundle.lengths[0])}
    return Model(bundle, InterpreterEngine(engine, bundle.model_path, threads, calls))
