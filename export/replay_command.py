"""Writes what a run reached: of a LoRA run a PEFT adapter, for the checkpoint it began from.

The run's steps are done again (noise passes only, no data), up to the best dev step, the last one
where no dev set was given, or --at_step.

examples:
  pocketllm replay --bundle=lora --run=run --out=adapter
  pocketllm replay --bundle=lora --run=run --out=adapter --at_step=500
"""

from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.eval_command import bring_to, steps_of
from pocketllm.runtime.session import define_session_flags, open_bundle, open_session, required

from .adapter import FILES, write_adapter
from .staging import check_replaceable, staged

FLAGS = flags.FlagValues()
define_session_flags(FLAGS)
flags.DEFINE_string("run", None, "run directory of `pocketllm train`", flag_values=FLAGS)
flags.DEFINE_string("out", None, "folder to write", flag_values=FLAGS)
flags.DEFINE_integer("at_step", None, "step of the run to write", flag_values=FLAGS)
flags.DEFINE_bool("force", False, "replace --out", flag_values=FLAGS)


def run(values) -> dict:
    """Writes an adapter; see the module's docstring."""
    required(values, "bundle", "run", "out")
    out = Path(values.out).absolute()
    check_replaceable(out, values.force, FILES, "an adapter")
    bundle = open_bundle(values)
    if bundle.tune != contract.LORA:
        raise InputError(
            f"{bundle.folder}: --tune={bundle.tune}; only what --tune=lora trains can be written"
        )
    if bundle.lora["extras"] != "none" and bundle.tied_decoder:
        raise InputError(
            f"{bundle.folder}: trained with --lora_extras={bundle.lora['extras']}; PEFT keeps "
            "whole modules, and this LM head's decoder is the word embeddings, which the run did "
            "not train: export with --lora_extras=none for an adapter"
        )
    settings, steps = steps_of(values, bundle)
    model = open_session(values, bundle)
    with staged(out) as beside:
        bring_to(model, values.run, settings, steps)
        write_adapter(beside, bundle, model)
    print(f"{values.out}: adapter of {values.run} at step {len(steps)}")
    return {"out": values.out, "run": values.run, "step": len(steps), "tune": bundle.tune}
