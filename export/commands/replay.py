"""Writes what a run reached: a Hugging Face checkpoint, of a LoRA or prefix run a PEFT adapter.

The run's steps are done again (noise passes only, no data), up to the best dev step, the last one
where no dev set was given, or --at_step. The checkpoint has config.json, the tokenizer and the
weights under transformers' names; an adapter is for the checkpoint that its bundle began from.
--undo then runs the steps backwards and says how near that comes to the initial values; it needs no
--out.

examples:
  pocketllm replay --bundle=micro --run=run --out=checkpoint
  pocketllm replay --bundle=lora --run=run --out=adapter --at_step=500
  pocketllm replay --bundle=micro --run=run --undo
"""

import contextlib
from dataclasses import asdict, replace
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.run_point import bring_with_progress, read_point
from pocketllm.runtime.commands.shared import (
    define_session_flags,
    open_bundle,
    open_session,
    required,
)
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.folders import check_replaceable, staged
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.optim.interface import JOURNALLED

from ..results.adapter import check_adapter, is_adapter_file, write_adapter
from ..results.checkpoint import DTYPES, is_checkpoint_file, write_checkpoint
from ..results.origin import check_written_here, origin_of, remarks
from ..results.source_config import check_source
from ..results.trained_tensors import names_of
from ..results.undo import undo

# What can be written -> (its name, whether a file belongs to it)
RESULTS = {
    contract.FULL: ("checkpoint", is_checkpoint_file),
    contract.LORA: ("adapter", is_adapter_file),
    contract.PREFIX: ("adapter", is_adapter_file),
}

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("run", None, "run directory of `pocketllm train`")
define.string("out", None, "folder to write")
define.integer("at_step", None, "step of the run to write")
define.string("base_model", None, "the base that an adapter names; none: the name at export")
define.enum("dtype", "fp32", list(DTYPES), "number type of the checkpoint")
define.bool("undo", False, "run the steps backwards too")
define.bool("force", False, "replace --out")


def run(values) -> dict:
    """Writes a checkpoint or an adapter; see the module's docstring."""
    required(values, "bundle", "run", *([] if values.undo else ["out"]))
    bundle = open_bundle(values)
    out = Path(values.out).absolute() if values.out else None
    if out:
        _check_written(values, bundle, out)
    point = read_point(values, bundle)
    if values.undo and point.kind != JOURNALLED:
        raise InputError(
            f"{values.run}: --undo needs a run whose journal says what each step applied (mezo, "
            "fzoo); steps with gradients cannot be taken back, this run keeps parameters instead"
        )
    origin = _origin(values, bundle, point) if out else None
    result = {"out": values.out, "run": values.run, "step": point.step, "tune": bundle.tune}
    with staged(out) if out else contextlib.nullcontext() as beside:
        model = open_session(values, bundle, point.calls)
        redone = bring_with_progress(model, point)
        if redone.steps:
            seconds = redone.seconds / redone.steps
            print(f"{values.run}: {redone.steps} steps done again, {seconds:.3f} s a step")
        result |= {"replayed_steps": redone.steps, "replay_seconds": redone.seconds}
        result["warnings"] = list(redone.warnings)
        if out:
            _write(beside, model, values.dtype, origin)
    if origin:
        kind = RESULTS[bundle.tune][0]
        print(f"{values.out}: {kind} of {values.run} at step {point.step}")
        for line in remarks(origin):
            print(f"{values.out}: {line}")
    if values.undo:
        with Progress("undoing", point.step, "step") as bar:
            undone = undo(model, point.applied, bar.advance)
        print(
            f"{values.run}: {point.step} steps moved a value by up to {undone.moved:.3g}, undone "
            f"they leave {undone.left:.3g} of it (largest value {undone.largest_value:.3g})"
        )
        result["undo"] = asdict(undone)
    return result


def _origin(values, bundle, point):
    origin = origin_of(bundle, Path(values.run), point.step)
    check_source(origin.source, bundle)
    if values.base_model is None:
        return origin
    # The commit is of the base that the bundle names.
    named = replace(origin.source, name=values.base_model, gguf=None)
    return replace(origin, bundle=replace(bundle, model_commit=None), source=named)


def _write(folder, model, dtype, origin):
    if model.bundle.tune != contract.FULL:
        write_adapter(folder, model, origin)
        return
    count = sum(len(names_of(model.bundle, p)) for p in model.bundle.parameters)
    with Progress("writing", count, "tensor") as bar:
        write_checkpoint(folder, model, dtype, origin, bar.advance)


def _check_written(values, bundle, out):
    """Raises InputError where a bundle's result cannot be written, or not there."""
    if bundle.tune not in RESULTS:
        raise InputError(
            f"{bundle.folder}: --tune={bundle.tune}; what --tune=full trains can be written as a "
            "checkpoint, and --tune=lora or prefix as an adapter; `pocketllm eval --run` takes the "
            "run as it is"
        )
    kind, belongs = RESULTS[bundle.tune]
    check_replaceable(out, values.force, belongs, f"a {kind}")
    check_written_here(out)
    if bundle.tune == contract.FULL:
        if values.base_model is not None:
            raise InputError(f"--base_model={values.base_model} is of adapters, not of a {kind}")
        return
    if values["dtype"].present:
        raise InputError(f"--dtype={values.dtype} is of checkpoints; an adapter is in fp32")
    check_adapter(bundle)
