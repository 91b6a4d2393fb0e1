"""From weights and a task to a bundle: convert, bind, stream the values, describe, rename."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.encode import special_ids
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.files import sha256_of, write_json
from pocketllm.runtime.option_encode import option_special_ids
from pocketllm.runtime.option_tasks import OptionTask, scoring_of
from pocketllm.runtime.tasks import Task, label_word_ids

from .adam import adam_step
from .bind import bind
from .families import FAMILIES, family_name, head_table
from .flatgraph import Graph, new_graph, serialise
from .forward import forward_pass
from .frozen import constants_of, stream_constants
from .functions import NOISE_TABLE, counter_values, forward_loss, perturb_and_update
from .layout import slices_of, variables_of
from .manifest import manifest
from .noise_tables import noise_table
from .opt_config import OptConfig
from .roberta_config import RobertaConfig
from .staging import check_replaceable, staged
from .target import Target
from .tokenizer import save_tokenizer
from .trained import tuned, with_targets
from .transfers import bind_adam_initialize, bind_decay, bind_transfers
from .tuning import Tuning
from .weights import Weights, stream_values

# Longest option that a `gold` signature scores by default; 13 tokens were found in COPA, 47 in
# ReCoRD's few rows. More would be scored too, for nothing, in every row.
GOLD_OPTION_TOKENS = 128
# A word can take more tokens behind a row with an empty field.
SPARE_OPTION_TOKENS = 2


@dataclass(frozen=True)
class Settings:
    """What to export.

    Attributes:
      model_name: what the bundle calls its model.
      config: architecture.
      task: template and label words, of the config's family.
      batch_size: rows of the forward signatures.
      lengths: tokens of the forward signatures, ascending.
      noise_kind: one of contract.NOISE_KINDS.
      option_tokens: longest option to score; 0 for what the task needs.
      tuning: what is trained, and how the rest is stored.
      adam: whether `adam_step` is exported beside MeZO's signatures.
    """

    model_name: str
    config: RobertaConfig | OptConfig
    task: Task | OptionTask
    batch_size: int
    lengths: tuple[int, ...]
    noise_kind: str
    option_tokens: int = 0
    tuning: Tuning = Tuning()
    adam: bool = False


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
    _check_lengths(settings)
    _check_tokenizer(settings, tokenizer)
    target = target_of(settings, tokenizer)
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
        described = manifest(settings, weights, variables, target, graph, noise, places, files)
        write_json(beside / contract.MANIFEST_FILE, described)
    written = time.monotonic()
    model_bytes = files[contract.MODEL_FILE]["bytes"]
    count = sum(parameter.values for parameter in weights.parameters)
    return Exported(model_bytes, count, converted - started, bound - converted, written - bound)


def target_of(settings: Settings, tokenizer: Tokenizer) -> Target:
    """Decides how the task is scored with a tokenizer."""
    task, asked = settings.task, settings.option_tokens
    if isinstance(task, Task):
        return Target(contract.WORDS, label_word_ids(task, tokenizer), len(task.words), 0)
    scoring = scoring_of(task, tokenizer)
    if scoring.kind == contract.GOLD:
        return Target(scoring.kind, (), 1, asked or GOLD_OPTION_TOKENS)
    longest = max(scoring.option_tokens + SPARE_OPTION_TOKENS, asked)
    option_tokens = longest if scoring.kind == contract.OPTIONS else 0
    return Target(scoring.kind, scoring.word_ids, len(task.words), option_tokens)


def _check_lengths(settings):
    lengths, limit = settings.lengths, settings.config.max_tokens
    if settings.batch_size < 1:
        raise InputError(f"--batch_size={settings.batch_size}: expected at least 1")
    if not lengths or min(lengths) < 8:
        raise InputError(f"--lengths={','.join(map(str, lengths))}: expected lengths of 8 or more")
    if max(lengths) > limit:
        raise InputError(
            f"--lengths: {max(lengths)} tokens, {settings.model_name} has positions for {limit}"
        )


def _check_tokenizer(settings, tokenizer):
    if isinstance(settings.task, Task):
        special_ids(tokenizer)
    else:
        option_special_ids(tokenizer)
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= settings.config.vocab_size:
        raise InputError(
            f"{settings.model_name}: the tokenizer's ids go up to {highest}, the model has "
            f"{settings.config.vocab_size} tokens; give the tokenizer files of this checkpoint"
        )


def _constants(settings, weights, target):
    """Lays the frozen parameters out; a head that is scored whole is read chunk by chunk."""
    family = FAMILIES[family_name(settings.config)]
    words = frozenset((family.WORD_EMBEDDINGS, family.LM_HEAD))
    whole_head = target.scoring != contract.WORDS
    chunked = {head_table(settings.config, weights.tied)} if whole_head else set()
    return constants_of(weights.frozen, settings.tuning.base, words, frozenset(chunked))


def _build(
    settings, variables, frozen, target, tied, report
) -> tuple[Graph, dict[str, np.ndarray]]:
    """Converts and binds every function; returns (model, {constant key: values})."""
    graph = new_graph(f"PocketLLM {settings.model_name}, format {contract.FORMAT_VERSION}")
    forwards = {
        tokens: forward_pass(
            settings.config,
            variables,
            target,
            tied,
            settings.batch_size,
            tokens,
            frozen,
            settings.tuning.lora.scaling,
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
    yield from stream_values(weights, variables)


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
