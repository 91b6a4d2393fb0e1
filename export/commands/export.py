"""Turns a RoBERTa or OPT checkpoint into a bundle: model.tflite, bundle.json, tokenizer.json.

examples:
  pocketllm export --model=roberta-micro --task=sst2 --out=micro
  pocketllm export --model=CHECKPOINT_DIR --task=sst2 --out=large --lengths=32,64,128
  pocketllm export --model=opt-1.3b --random_init --task=boolq --out=opt
  pocketllm export --model=CHECKPOINT_DIR --task=text --prompt='{text} It was {mask}.' \\
      --label_words='0:bad,1:good' --out=mine
"""

import os
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.folders import check_replaceable
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.tasks import causal, masked
from pocketllm.tflite_models.presets import PRESETS

from ..models import ARCHITECTURES, architecture_in
from ..tasks.lengths import default_lengths, share_longer
from ..tasks.own_data import option_text_task, text_task
from ..tune.settings import define_tuning_flags, tuning_of

# Style -> its tasks, and what makes the one of --task=text.
TASKS = {contract.MASKED: masked.TASKS, contract.CAUSAL: causal.TASKS}
TEXT_TASKS = {contract.MASKED: text_task, contract.CAUSAL: option_text_task}

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("model", None, "checkpoint folder or preset: " + ", ".join(PRESETS))
define.string(
    "task",
    None,
    "; ".join(
        f"{model.model_type}: {', '.join(TASKS[model.style])}" for model in ARCHITECTURES.values()
    )
    + "; both: text, for your own data",
)
define.string("out", None, "bundle folder to write")
define.bool("random_init", False, "seeded random weights (with a preset)")
define.integer("seed", 0, "seed of --random_init and of what --tune adds")
define_tuning_flags(FLAGS)
define.enum("optimizers", "mezo", ["mezo", "mezo,adam"], "algorithms to export for")
define.enum("noise", "codebook", list(contract.NOISE_KINDS), "distribution of the direction z")
define.integer("batch_size", 8, "rows of a forward signature")
define.list("lengths", None, "tokens of the forward signatures; none: as the task needs")
define.string("prompt", None, "template of --task=text, e.g. '{text} It was {mask}.'")
define.string("label_words", None, "labels and words of --task=text, e.g. '0:terrible,1:great'")
define.integer(
    "option_tokens",
    None,
    "longest option of an OPT task in tokens; none: 128 for copa and record, else as the words",
    1,
)
define.bool("force", False, "replace --out")


def run(values) -> dict:
    """Exports; see the module's docstring."""
    required(values, "model", "task", "out")
    out = Path(values.out)
    check_replaceable(out.absolute(), values.force)
    if values.seed < 0:
        raise InputError(f"--seed={values.seed}: expected 0 or more")
    config_path = _config_path(values)
    described = read_json(config_path, "give a Hugging Face checkpoint folder")
    architecture = architecture_in(described, str(config_path))
    task = _task(values, architecture)
    tuning = tuning_of(values)

    # TensorFlow logs while it loads; what can be is checked before that.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from ..models import model_config
    from ..pipeline import export_bundle
    from ..settings import Settings

    config = model_config(described, str(config_path))
    weights, tokenizer = _source(values, config)
    lengths = _lengths(values.lengths, architecture.style, task.name, config.max_tokens)
    settings = Settings(
        model_name=Path(values.model).name,
        config=config,
        task=task,
        batch_size=values.batch_size,
        lengths=lengths,
        noise_kind=values.noise,
        option_tokens=values.option_tokens or 0,
        tuning=tuning,
        adam="adam" in values.optimizers,
    )
    count = sum(parameter.values for parameter in weights.parameters)
    total = count * (4 if tuning.base == contract.FP32 else 1)
    with Progress("writing", total, "B", scale=True) as bar:
        took = export_bundle(
            settings, weights, tokenizer, out, values.force, report=bar.say, progress=bar.advance
        )
    trained = took.trained_parameters
    print(
        f"{out}: {count / 1e6:.1f} M parameters"
        f"{'' if trained == count else f', {trained / 1e6:.3f} M trained on a frozen base'}"
        f"{'' if weights.tied else ', decoder not tied'}, model {took.model_bytes / 1e9:.3f} GB; "
        f"converted in {took.convert_seconds:.1f} s, bound in {took.bind_seconds:.1f} s, "
        f"written in {took.write_seconds:.1f} s"
    )
    share = share_longer(architecture.style, task.name, lengths[-1])
    if share:
        print(
            f"{task.name}: {share:.1%} of the published training rows are longer than "
            f"{lengths[-1]} tokens and will be truncated"
        )
    return {
        "bundle": str(out),
        "parameters": count,
        "trained_parameters": took.trained_parameters,
        "tied_decoder": weights.tied,
        "lengths": list(lengths),
        "published_share_truncated": share,
        "model_bytes": took.model_bytes,
        "convert_seconds": took.convert_seconds,
        "bind_seconds": took.bind_seconds,
        "write_seconds": took.write_seconds,
    }


def _task(values, architecture):
    tasks = TASKS[architecture.style]
    if values.task == "text":
        if not values.prompt or not values.label_words:
            raise InputError("--task=text needs --prompt and --label_words")
        return TEXT_TASKS[architecture.style](values.prompt, values.label_words)
    if values.prompt or values.label_words:
        raise InputError(f"--prompt and --label_words go with --task=text, not {values.task}")
    if values.task not in tasks:
        raise InputError(
            f"--task={values.task}: unknown for {architecture.model_type} models, expected "
            f"{', '.join(tasks)} or text"
        )
    return tasks[values.task]


def _lengths(texts, style, task_name, limit):
    """Returns --lengths, or the task's own as far as the model goes."""
    if texts is None:
        return tuple(sorted({min(length, limit) for length in default_lengths(style, task_name)}))
    try:
        return tuple(sorted({int(text) for text in texts}))
    except ValueError as error:
        raise InputError(f"--lengths={','.join(texts)}: expected whole numbers") from error


def _config_path(values) -> Path:
    """Returns the config.json of a preset or a checkpoint folder."""
    preset = PRESETS.get(values.model)
    folder = preset.checkpoint_folder if preset else Path(values.model)
    if values.random_init:
        if preset is None:
            raise InputError(f"--random_init goes with a preset ({', '.join(PRESETS)})")
        return preset.config_path
    if folder is None:
        raise InputError(
            f"--model={values.model}: no weights come with this preset; give the folder of its "
            "checkpoint, or --random_init for measurements"
        )
    if not folder.is_dir():
        raise InputError(
            f"--model={values.model}: neither a folder nor a preset ({', '.join(PRESETS)})"
        )
    return folder / "config.json"


def _source(values, config):
    """Returns (weights, tokenizer) of what _config_path accepted."""
    from ..checkpoint.reader import open_checkpoint
    from ..checkpoint.tokenizer import tokenizer_for
    from ..models.weights import checkpoint_weights, random_weights

    preset = PRESETS.get(values.model)
    if values.random_init:
        return random_weights(config, values.seed), tokenizer_for(preset.tokenizer_folder)
    folder = preset.checkpoint_folder if preset else Path(values.model)
    return checkpoint_weights(config, open_checkpoint(folder)), tokenizer_for(folder)
