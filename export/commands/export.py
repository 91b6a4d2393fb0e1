"""Turns a model into a bundle: model.tflite, bundle.json, tokenizer.json, source.json.

The model is a checkpoint of Hugging Face (a folder, or a name on the Hub) or a GGUF file of
llama.cpp. --task lists the architectures that are implemented.

examples:
  pocketllm export --model=roberta-micro --task=sst2 --out=micro
  pocketllm export --model=CHECKPOINT_DIR --task=sst2 --out=large --lengths=32,64,128
  pocketllm export --model=FacebookAI/roberta-large --task=sst2 --out=large
  pocketllm export --model=SmolLM2-135M-Instruct.Q4_1.gguf --task=sst2 --tune=lora --base=int8 \\
      --out=lora
  pocketllm export --model=opt-1.3b --random_init --task=boolq --out=opt
  pocketllm export --model=CHECKPOINT_DIR --task=sft --out=mine --tune=lora --base=int8
  pocketllm export --model=CHECKPOINT_DIR --task=text --prompt='{text} It was {mask}.' \\
      --label_words='0:bad,1:good' --out=mine
"""

import os
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.folders import check_replaceable
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.optim.table import DEFAULT, OPTIMIZERS
from pocketllm.tflite_models.presets import PRESETS

from ..api import export, model_at
from ..models import ARCHITECTURES
from ..sources.kinds import source_of
from ..tasks.named import MASKS, TASKS, task_named
from ..tune.settings import Tuning
from .tuning_flags import define_tuning_flags, lora_of

# Model types of a style, and its tasks, for the help.
KNOWN_TASKS = "; ".join(
    f"{', '.join(name for name, model in ARCHITECTURES.items() if model.style == style)}: "
    + ", ".join(tasks)
    for style, tasks in TASKS.items()
)

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string(
    "model",
    None,
    "checkpoint folder, GGUF file, OWNER/NAME of a model on the Hugging Face Hub, or preset: "
    + ", ".join(PRESETS),
)
define.string("revision", None, "branch, tag or commit of a model on the Hub; none: main")
define.string("task", None, f"{KNOWN_TASKS}; all: text, for your own data")
define.string("out", None, "bundle folder to write")
define.bool("random_init", False, "seeded random weights (with a preset)")
define.integer("seed", 0, "seed of --random_init and of what --tune adds")
define_tuning_flags(FLAGS)
define.list(
    "optimizers",
    [DEFAULT],
    f"training algorithms to export for, of {', '.join(OPTIMIZERS)}; every bundle has {DEFAULT}'s",
)
define.bool(
    "pairs",
    False,
    "add signatures that evaluate both probes of a step in one forward pass, for a frozen base",
)
define.bool(
    "pure",
    False,
    "add forward passes without variables, which accelerators (GPU, NPU) take whole",
)
define.enum("noise", "codebook", list(contract.NOISE_KINDS), "distribution of the direction z")
define.integer("batch_size", 8, "rows of a forward signature")
define.list("lengths", None, "tokens of the forward signatures; none: as the task needs")
define.string("prompt", None, "template of --task=text, e.g. '{text} It was {mask}.'")
define.string("label_words", None, "labels and words of --task=text, e.g. '0:terrible,1:great'")
define.enum(
    "mask", "answers", list(MASKS), "tokens that are learnt of sft and chat: answers; none: all"
)
define.integer(
    "option_tokens",
    None,
    "longest option of a causal model's task in tokens; none: 128 for copa and record, else as the "
    "words",
    1,
)
define.bool("generate", None, "add signatures that write text; none: with sft, chat and lm")
define.integer(
    "context",
    None,
    "longest text of --generate in tokens, its prompt included; none: 256, or twice the longest "
    "of --lengths where that is more",
)
define.string("chat_template", None, "file of a chat template in Jinja; none: the checkpoint's own")
define.bool("force", False, "replace --out")


def run(values) -> dict:
    """Exports; see the module's docstring."""
    required(values, "model", "task", "out")
    if values.seed < 0:
        raise InputError(f"--seed={values.seed}: expected 0 or more")
    tuning = Tuning(values.tune, values.base, lora_of(values), values.prefix_tokens)
    check_replaceable(Path(values.out).absolute(), values.force)
    source = source_of(
        values.model, values.random_init, revision=values.revision, say=print, bar=_download_bar
    )
    architecture, _ = model_at(source)
    # TensorFlow logs while it loads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with Progress("writing", 0, "B", scale=True) as bar:
        exported = export(
            source,
            task_named(
                values.task, architecture, values.prompt, values.label_words, mask=values.mask
            ),
            values.out,
            batch_size=values.batch_size,
            lengths=_numbers(values.lengths),
            noise=values.noise,
            optimizers=values.optimizers,
            pairs=values.pairs,
            pure=values.pure,
            option_tokens=values.option_tokens or 0,
            tuning=tuning,
            seed=values.seed,
            generate=values.generate,
            context=values.context,
            chat_template=values.chat_template,
            force=values.force,
            say=bar.say,
            progress=lambda size, total: bar.advance(size, total=total),
        )
    _print(exported, values.task)
    return asdict(exported)


@contextmanager
def _download_bar(total):
    with Progress("downloading", total, "B", scale=True) as bar:
        yield bar.advance


def _print(exported, task):
    count, trained = exported.parameters, exported.trained_parameters
    print(
        f"{exported.bundle}: {count / 1e6:.1f} M parameters"
        f"{'' if trained == count else f', {trained:,} trained on a frozen base'}"
        f"{'' if exported.tied_decoder else ', decoder not tied'}, "
        f"model {exported.model_bytes / 1e9:.3f} GB; converted in "
        f"{exported.convert_seconds:.1f} s, bound in {exported.bind_seconds:.1f} s, "
        f"written in {exported.write_seconds:.1f} s"
    )
    share = exported.published_share_truncated
    if share:
        print(
            f"{task}: {share:.1%} of the published training rows are longer than "
            f"{exported.lengths[-1]} tokens and will be truncated"
        )


def _numbers(texts):
    """Returns --lengths as numbers, None where it was not given."""
    if texts is None:
        return None
    try:
        return [int(text) for text in texts]
    except ValueError as error:
        raise InputError(f"--lengths={','.join(texts)}: expected whole numbers") from error
