"""From weights and a task to a bundle: convert, bind, stream the values, describe, rename."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.host.files import sha256_of, write_bytes
from pocketllm.runtime.host.folders import check_replaceable, staged
from pocketllm.runtime.host.pages import release_freed_memory

from .checkpoint.source_files import SourceFiles, source_json
from .checkpoint.tokenizer import save_tokenizer
from .flatbuffer.bind import bind
from .flatbuffer.model import TfliteModel, new_model, serialise
from .flatbuffer.outputs import check_outputs
from .flatbuffer.values import stream_constants, stream_variables
from .flatbuffer.variables import slices_of
from .forward_passes import bind_forward_passes
from .manifest import manifest
from .plan import Plan, plan_of
from .settings import Settings
from .signatures.accumulate import accumulate, apply, gradient_norm, sum_of
from .signatures.adam import adam_step, moments
from .signatures.composed import bind_composed_step, bind_perturb_two
from .signatures.forward import recomputing
from .signatures.generation import cache_of, generation
from .signatures.gradients import used_variables
from .signatures.perturb import NOISE_TABLE, counter_values, noise_pass
from .signatures.state import bind_copies, bind_decay, bind_transfers, bind_zeros
from .signatures.tables import noise_table
from .tasks.lengths import share_longer
from .tune.apply import view_of
from .weights.weights import Weights

LEAST_SLICE_BYTES, MOMENT_SLICES = 1 << 20, 16  # of the moments


@dataclass(frozen=True)
class Exported:
    """A written bundle, and the seconds of its stages.

    Attributes:
      bundle: its folder.
      parameters: values of the model, without what a tuning adds.
      trained_parameters: values that are trained.
      tied_decoder: whether the LM head is the word embeddings.
      lengths: tokens of the forward signatures, ascending.
      published_share_truncated: share of the task's published training rows that are longer than
        the longest bucket; None where nobody measured it with this tokenizer.
      model_bytes: size of the model file.
      convert_seconds: of graphs to operators.
      bind_seconds: of the model file's layout.
      write_seconds: of the values.
    """

    bundle: str
    parameters: int
    trained_parameters: int
    tied_decoder: bool
    lengths: tuple[int, ...]
    published_share_truncated: float | None
    model_bytes: int
    convert_seconds: float
    bind_seconds: float
    write_seconds: float


def export_bundle(
    settings: Settings,
    weights: Weights,
    tokenizer: Tokenizer,
    source: SourceFiles,
    out: Path,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda size, total: None,
) -> Exported:
    """Writes a bundle.

    Args:
      settings: what to export.
      weights: the parameters' values.
      tokenizer: of the checkpoint.
      source: its small files, for `replay`.
      out: the bundle's folder; appears whole, by rename.
      force: replace a folder that exists.
      say: gets a line about each stage.
      progress: gets the bytes of each tensor that was written, and those of all.

    Raises:
      InputError: bad settings or weights, or `out` exists.
      RunError: the disk is full or cannot be written.
    """
    # What can be refused is refused before the conversion, which takes minutes.
    out = Path(out)
    check_replaceable(out.absolute(), force)
    plan = plan_of(settings, weights, tokenizer)
    with staged(out.absolute()) as beside:
        started = time.monotonic()
        model, values = _convert(plan, say)
        converted = time.monotonic()
        # Offsets of the values depend on all functions, so the layout comes after the last one.
        flatbuffer, places = serialise(model)
        bound = time.monotonic()
        path = beside / contract.MODEL_FILE
        release_freed_memory()  # of the conversion
        say(f"writing {sum(size for _, size in places.values()) / 1e9:.2f} GB of values")
        _write_values(path, places, _all_values(plan, model, values, places), progress)
        # Scales of quantised values stand in the flatbuffer, and are known only now.
        _write_flatbuffer(path, serialise(model)[0] if model.scales else flatbuffer)
        _write_small_files(beside, tokenizer, source)
        noise = _noise_entry(settings.noise_kind, values.get(NOISE_TABLE), places)
        entries = manifest(plan, model, noise, places, _files(beside))  # with their checksums
        write_with_checksum(beside / contract.MANIFEST_FILE, entries)
    return Exported(
        bundle=str(out),
        parameters=sum(parameter.values for parameter in weights.parameters),
        trained_parameters=sum(parameter.values for parameter in plan.weights.parameters),
        tied_decoder=weights.tied,
        lengths=settings.lengths,
        published_share_truncated=_share_truncated(settings),
        model_bytes=entries["files"][contract.MODEL_FILE]["bytes"],
        convert_seconds=converted - started,
        bind_seconds=bound - converted,
        write_seconds=time.monotonic() - bound,
    )


def _share_truncated(settings):
    return share_longer(settings.config.model_type, settings.task.name, settings.lengths[-1])


def _convert(plan: Plan, say) -> tuple[TfliteModel, dict[str, np.ndarray]]:
    """Converts and binds every function; returns (model, {key of a noise buffer: values})."""
    settings, variables = plan.settings, plan.variables
    model = new_model(f"PocketLLM {settings.model_name}, format {contract.FORMAT_VERSION}")
    table = noise_table(settings.noise_kind)
    shape = None if table is None else (table.shape[0], table.shape[1])
    forwards = bind_forward_passes(model, plan, shape, say)
    for signature in contract.NOISE_PASSES:
        say(f"converting {signature}")
        perturb, counters = noise_pass(signature, variables, settings.noise_kind, shape)
        bind(model, perturb)
    bind_perturb_two(model)
    bind_decay(model, [v for v in variables if v.parameter.decays])
    if contract.ADAM in settings.optimizers:
        _bind_adam(model, forwards, plan, say)
    if settings.context:
        _bind_generation(model, plan, say)
    bind_transfers(model, plan.slices)
    check_outputs(model)
    return model, counter_values(counters) | ({} if table is None else {NOISE_TABLE: table})


def _bind_adam(model, forwards, plan, say):
    """Adds `adam_step_<tokens>` for every length, and what sets the moments to 0 or copies them.

    Where all is trained, weights and moments are most of the memory: nothing is computed twice, and
    there are no sums.
    """
    variables = plan.variables
    names = used_variables(next(iter(forwards.values())))
    used = tuple(v for v in variables if v.name in names)
    if plan.is_frozen:
        _bind_accumulation(model, forwards, variables, used, say)
    for tokens, forward in forwards.items():
        aliases = (contract.ADAM_STEP,) if tokens == max(forwards) else ()
        if plan.is_frozen:
            bind_composed_step(model, tokens, aliases)
            continue
        say(f"converting {contract.adam_step_for(tokens)}")
        bind(model, adam_step(forward, variables, used, tokens, aliases))
    both = sorted((moment for v in used for moment in moments(v)), key=lambda v: v.name)
    bind_zeros(model, contract.ADAM_INITIALIZE, both)
    # Reading a slice takes its size twice: of LoRA little beside a step's memory.
    share = max(LEAST_SLICE_BYTES, sum(4 * v.size for v in both) // MOMENT_SLICES)
    slices = slices_of(tuple(both), min(plan.settings.sizes.slice_bytes, share))
    bind_copies(model, slices, contract.ADAM_READ, contract.ADAM_WRITE)


def _bind_accumulation(model, forwards, variables, used, say):
    """Adds what makes steps of any batch size: sums of gradients, their norm, their use."""
    for tokens, forward in forwards.items():
        say(f"converting {contract.adam_accumulate_for(tokens)}")
        aliases = (contract.ADAM_ACCUMULATE,) if tokens == max(forwards) else ()
        bind(model, accumulate(recomputing(forward), used, tokens, aliases))
    bind(model, gradient_norm(used))
    for signature in (contract.ADAM_APPLY, contract.SGD_APPLY):
        say(f"converting {signature}")
        bind(model, apply(signature, variables, used))
    bind_zeros(model, contract.GRADIENTS_INITIALIZE, [sum_of(v) for v in used])


def _bind_generation(model, plan, say):
    """Adds `prefill_<tokens>`, `decode`, and what sets the cache that they share to 0."""
    settings = plan.settings
    cache = cache_of(settings.config, settings.context)
    for tokens in (*settings.prefills, 1):
        say(f"converting {contract.prefill_for(tokens)}")
        function = generation(
            settings.config,
            (*plan.variables, *plan.constants),
            cache,
            tied=plan.weights.tied,
            tokens=tokens,
            view=view_of(settings.tuning),
        )
        bind(model, function)
    bind_zeros(model, contract.CACHE_INITIALIZE, list(cache.values()))


def _all_values(plan, model, values, places) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (external key, values) of all that has a place in the file, one tensor at a time."""
    yield from (values | model.computed).items()
    used = [constant for constant in plan.constants if constant.name in places]
    yield from stream_constants(model, plan.weights, used)
    yield from stream_variables(plan.weights, plan.variables)


def _write_values(path, places, values, progress):
    """Writes values to their places, one tensor in memory at a time, in any order."""
    missing, total = set(places), sum(size for _, size in places.values())
    with open(path, "wb") as file:
        for key, array in values:
            offset, size = places[key]
            assert array.nbytes == size, f"{key}: {array.nbytes} bytes, {size} were placed"
            file.seek(offset)
            file.write(np.ascontiguousarray(array).data)  # tofile's errors do not say what is wrong
            missing.remove(key)
            progress(size, total)
    assert not missing, f"no values for {sorted(missing)}"


def _write_flatbuffer(path, flatbuffer):
    """Writes the flatbuffer, which stands before the values."""
    with open(path, "r+b") as file:
        file.write(flatbuffer)
        file.flush()
        os.fsync(file.fileno())


def _write_small_files(folder, tokenizer, source):
    save_tokenizer(tokenizer, folder / contract.TOKENIZER_FILE)
    write_bytes(folder / contract.SOURCE_FILE, source_json(source))


def _files(folder):
    """Returns {name: {bytes, sha256}} of the files that the manifest answers for."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in (contract.MODEL_FILE, contract.TOKENIZER_FILE, contract.SOURCE_FILE)
    }


def _noise_entry(kind, table, places):
    if table is None:
        return {"kind": kind}
    rows, columns = table.shape
    return {"kind": kind, "rows": rows, "columns": columns, "offset": places[NOISE_TABLE][0]}
