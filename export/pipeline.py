"""From weights and a task to a bundle: convert, bind, stream the values, describe, rename."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.host.files import sha256_of
from pocketllm.runtime.host.folders import check_replaceable, staged

from .checkpoint.tokenizer import save_tokenizer
from .flatbuffer.bind import bind
from .flatbuffer.constants import constants_of
from .flatbuffer.model import TfliteModel, new_model, serialise
from .flatbuffer.values import stream_constants, stream_variables
from .flatbuffer.variables import slices_of, variables_of
from .manifest import manifest
from .models import architecture_of
from .models.scoring import target_of
from .models.weights import Weights
from .settings import Settings, check_lengths, check_tokenizer
from .signatures.adam import adam_step
from .signatures.forward import forward_loss, forward_pass
from .signatures.perturb import NOISE_TABLE, counter_values, perturb_and_update
from .signatures.state import bind_adam_initialize, bind_decay, bind_transfers
from .signatures.tables import noise_table
from .tune.apply import tuned, view_of, with_targets


@dataclass(frozen=True)
class Exported:
    """What an export made and took: bytes of the model file, seconds of its stages."""

    model_bytes: int
    trained_parameters: int
    convert_seconds: float
    bind_seconds: float
    write_seconds: float


def export_bundle(
    settings: Settings,
    weights: Weights,
    tokenizer: Tokenizer,
    out: Path,
    force: bool = False,
    report: Callable[[str], None] = lambda line: None,
    progress: Callable[[int], None] = lambda written_bytes: None,
) -> Exported:
    """Writes a bundle.

    Args:
      settings: what to export.
      weights: the parameters' values.
      tokenizer: of the checkpoint.
      out: the bundle's folder; appears whole, by rename.
      force: replace a folder that exists.
      report: told each stage.
      progress: told the bytes written, piece by piece.

    Raises:
      InputError: bad settings or weights, or `out` exists.
      RunError: the disk is full or cannot be written.
    """
    out = Path(out).absolute()
    check_replaceable(out, force)
    check_lengths(settings)
    check_tokenizer(settings, tokenizer)
    target = target_of(settings.task, settings.option_tokens, tokenizer)
    settings = replace(settings, tuning=with_targets(settings.tuning, settings.config))
    weights = tuned(weights, settings.config, target, settings.tuning)
    variables = variables_of(weights.parameters)
    frozen = _constants(settings, weights, target)
    with staged(out) as beside:
        started = time.monotonic()
        graph, constants = _build(settings, variables, frozen, target, weights.tied, report)
        converted = time.monotonic()
        flatbuffer, places = serialise(graph)
        bound = time.monotonic()
        report(f"writing {sum(size for _, size in places.values()) / 1e9:.2f} GB of values")
        frozen = [constant for constant in frozen if constant.name in places]
        values = _values(graph, constants, weights, variables, frozen)
        _write_values(beside / contract.MODEL_FILE, places, values, progress)
        packed, _ = serialise(graph) if graph.scales else (flatbuffer, places)
        _write_flatbuffer(beside / contract.MODEL_FILE, packed)
        save_tokenizer(tokenizer, beside / contract.TOKENIZER_FILE)
        files = {
            name: {"bytes": (beside / name).stat().st_size, "sha256": sha256_of(beside / name)}
            for name in (contract.MODEL_FILE, contract.TOKENIZER_FILE)
        }
        noise = _noise_entry(settings.noise_kind, constants.get(NOISE_TABLE), places)
        described = manifest(
            settings, weights, variables, target, graph, noise, places, files, tokenizer
        )
        write_with_checksum(beside / contract.MANIFEST_FILE, described)
    written = time.monotonic()
    model_bytes = files[contract.MODEL_FILE]["bytes"]
    count = sum(parameter.values for parameter in weights.parameters)
    return Exported(model_bytes, count, converted - started, bound - converted, written - bound)


def _constants(settings, weights, target):
    """Lays the frozen parameters out; a head that is scored whole is read chunk by chunk."""
    head = architecture_of(settings.config).head
    words = frozenset((head.word_embeddings, head.decoder))
    whole_head = target.scoring != contract.WORDS
    chunked = {head.table(weights.tied)} if whole_head else set()
    return constants_of(weights.frozen, settings.tuning.base, words, frozenset(chunked))


def _build(
    settings, variables, frozen, target, tied, report
) -> tuple[TfliteModel, dict[str, np.ndarray]]:
    """Converts and binds every function; returns (model, {constant key: values})."""
    graph = new_model(f"PocketLLM {settings.model_name}, format {contract.FORMAT_VERSION}")
    forwards = {
        tokens: forward_pass(
            settings.config,
            variables,
            target,
            tied=tied,
            batch=settings.batch_size,
            tokens=tokens,
            constants=frozen,
            view=view_of(settings.tuning),
        )
        for tokens in settings.lengths
    }
    for tokens, forward in forwards.items():
        report(f"converting {contract.forward_loss_for(tokens)}")
        aliases = (contract.FORWARD_LOSS,) if tokens == settings.lengths[-1] else ()
        bind(graph, forward_loss(forward, tokens, aliases))
    report(f"converting {contract.PERTURB_AND_UPDATE}")
    table = noise_table(settings.noise_kind)
    shape = None if table is None else table.shape
    perturb, counters = perturb_and_update(variables, settings.noise_kind, shape)
    bind(graph, perturb)
    bind_decay(graph, [v for v in variables if v.parameter.decays])
    if settings.adam:
        _bind_adam(graph, forwards, variables, report)
    bind_transfers(graph, slices_of(variables))
    constants = counter_values(counters) | ({} if table is None else {NOISE_TABLE: table})
    return graph, constants


def _bind_adam(graph, forwards, variables, report):
    """Adds `adam_step_<tokens>` for every length, and what sets the moments to 0."""
    for tokens, forward in forwards.items():
        report(f"converting {contract.adam_step_for(tokens)}")
        aliases = (contract.ADAM_STEP,) if tokens == max(forwards) else ()
        step = adam_step(forward, variables, tokens, aliases)
        bind(graph, step)
    held = set(step.assigned.values()) - set(variables)
    bind_adam_initialize(graph, sorted(held, key=lambda v: v.name))


def _values(graph, constants, weights, variables, frozen) -> Iterator[tuple[str, np.ndarray]]:
    yield from constants.items()
    yield from stream_constants(graph, weights, frozen)
    yield from stream_variables(weights, variables)


def _write_values(path, places, values, progress):
    """Writes values to their places, one tensor held at a time, in any order."""
    missing = set(places)
    with open(path, "wb") as file:
        for key, array in values:
            offset, size = places[key]
            assert array.nbytes == size, f"{key}: {array.nbytes} bytes, {size} were placed"
            file.seek(offset)
            file.write(np.ascontiguousarray(array))  # tofile's errors do not say what is wrong
            missing.remove(key)
            progress(size)
    assert not missing, f"no values for {sorted(missing)}"


def _write_flatbuffer(path, flatbuffer):
    """Writes what stands before the values: last, for their scales are known only then."""
    with open(path, "r+b") as file:
        file.write(flatbuffer)
        file.flush()
        os.fsync(file.fileno())


def _noise_entry(kind, table, places):
    if table is None:
        return {"kind": kind}
    rows, columns = table.shape
    return {"kind": kind, "rows": rows, "columns": columns, "offset": places[NOISE_TABLE][0]}
