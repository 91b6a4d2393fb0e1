"""`export`: a checkpoint becomes a bundle, in one call."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import json_bytes
from pocketllm.runtime.host.folders import check_replaceable
from pocketllm.runtime.tasks.codec import Task
from pocketllm.runtime.tasks.text import CHAT, TextTask

from .chat.choose import TEMPLATE_FILE, chat_pieces, read_template
from .chat.stops import GENERATION_FILE, generation_config, stop_ids
from .checkpoint.source_files import CONFIG_FILE
from .checkpoint.special_spellings import frame_remarks, left_out_remarks, special_spellings
from .checkpoint.tokenizer import read_tokenizer
from .checkpoint.tokenizer_files import naming_files
from .models import Architecture, ModelConfig, architecture_in, architecture_of, text_values
from .settings import USUAL_SIZES, Settings, Sizes, check_context, context_of, signatures_of
from .sources.kinds import source_of
from .sources.source import Source
from .tasks.lengths import default_lengths
from .tasks.named import task_named
from .tune.settings import FULL_TUNING, Tuning, check_tuning
from .weights.weights import checkpoint_weights, random_weights, remarks

if TYPE_CHECKING:
    from .pipeline import Exported


def export(
    model: str | Path | Source,
    task: str | Task,
    out: str | Path,
    *,
    batch_size: int = 8,
    lengths: Sequence[int] | None = None,
    noise: str = contract.NOISE_KINDS[0],
    optimizers: Sequence[str] = (contract.MEZO,),
    pairs: bool = False,
    pure: bool = False,
    option_tokens: int = 0,
    tuning: Tuning = FULL_TUNING,
    random_init: bool = False,
    revision: str | None = None,
    chat_template: str | Path | None = None,
    seed: int = 0,
    generate: bool | None = None,
    context: int | None = None,
    force: bool = False,
    sizes: Sizes = USUAL_SIZES,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda size, total: None,
) -> "Exported":
    """Writes a bundle; `pocketllm export --help` says more of most settings.

    Args:
      model: preset, checkpoint's folder, GGUF file, OWNER/NAME on the Hub, or an opened source.
      task, out: name of a task of the model's style, or a task; folder that appears whole.
      batch_size, lengths: rows and tokens of the forward signatures; None for the task's lengths.
      noise, optimizers: one of contract.NOISE_KINDS; names of optimizers, MeZO's are always there.
      option_tokens, tuning: longest option, 0 for what the task needs; what is trained, and how.
      random_init, seed: draw the weights of a preset; seed of all that is drawn.
      generate, context: add signatures that write text; positions of their cache. None: as usual.
      revision, chat_template: branch, tag or commit on the Hub; file of a template in Jinja.
      force, sizes, pairs, pure: replace `out`; largest pieces; add forward_pair_T, forward_pure_T.
      say, progress: get a line about a stage; (bytes written, bytes of all).

    Raises:
      InputError, RunError: contradictory settings; a disk that is full, or a failed download.
    """
    check_replaceable(Path(out).absolute(), force)
    forms = {"optimizers": signatures_of(optimizers), "pairs": pairs, "pure": pure, "sizes": sizes}
    template = None if chat_template is None else read_template(Path(chat_template))
    if not isinstance(model, Source):
        model = source_of(model, random_init, revision=revision, say=say)
    settings = _settings(
        model,
        task,
        lengths,
        replace(check_tuning(tuning, pairs), seed=seed),
        (generate, context),
        batch_size=batch_size,
        noise_kind=noise,
        option_tokens=option_tokens,
        **forms,
    )
    with naming_files(model.tokenizer):
        return _write(settings, model, Path(out), template, force=force, say=say, progress=progress)


def model_at(source: Source) -> tuple[Architecture, ModelConfig]:
    """Reads config.json of a source; InputError where it is no model that can be exported."""
    values = text_values(source.read_config(), str(source.config_path))
    architecture = architecture_in(values, str(source.config_path))
    return architecture, architecture.read_config(values, str(source.config_path))


def _settings(source, task, lengths, tuning, writing, **others):
    """Returns the settings; `writing` says whether the bundle generates, and how far."""
    (generate, context), (architecture, config) = writing, model_at(source)
    task = task_named(task, architecture) if isinstance(task, str) else task
    lengths = _lengths(lengths, architecture.style, task.name, config.max_tokens)
    settings = Settings(
        model_name=source.name,
        model_commit=source.commit,
        config=config,
        task=task,
        lengths=lengths,
        tuning=tuning,
        context=context_of(generate, context, task, lengths, config=config, tuning=tuning),
        **others,
    )
    check_context(settings)
    return settings


def _lengths(lengths, style, task_name, most):
    """Returns the lengths asked for, or the task's own as far as the model goes, ascending."""
    if lengths is None:
        lengths = [min(length, most) for length in default_lengths(style, task_name)]
    return tuple(sorted(set(lengths)))


def _kept_files(source, architecture, say):
    """Returns the small files that the bundle carries; config.json is that of the text alone."""
    kept = source.small_files()
    if architecture.whole is None:
        return kept
    values = source.read_config()
    text = text_values(values, str(source.config_path))
    if text is values:
        return kept
    say(f"model: the text part of {architecture.whole!r}, without what reads images")
    return replace(kept, files=kept.files | {CONFIG_FILE: json_bytes(text)})


def _with_chat(settings, read, config, kept, *, chat_template, say):
    """Returns (settings with what a chat is made of and what ends a text, the small files)."""
    style, task = architecture_of(settings.config).style, settings.task
    if style != contract.CAUSAL:
        if chat_template is not None:
            raise InputError(f"--chat_template goes with models that write text, not {style} ones")
        return settings, kept
    if chat_template is not None:
        kept = replace(kept, files=kept.files | {TEMPLATE_FILE: chat_template.encode("utf-8")})
    spelled, needed = settings.spellings, isinstance(task, TextTask) and task.form == CHAT
    place = TEMPLATE_FILE if TEMPLATE_FILE in kept.files else "chat_template"
    pieces = chat_pieces(read, spelled, chat_template, place=place, needed=needed, say=say)
    stops = stop_ids(read.tokenizer, spelled.eos, config, kept.files, pieces)
    generation = generation_config(kept.files, config, stops)
    if isinstance(task, TextTask) and generation is not None:
        kept = replace(kept, files=kept.files | {GENERATION_FILE: generation})
        say(f"{GENERATION_FILE}: a checkpoint of a run stops at {', '.join(map(str, stops))}")
    return replace(settings, chat=pieces, stop_ids=stops), kept


def _write(settings, source, out, chat_template, **callbacks):
    # TensorFlow is loaded after all that can be refused without it.
    from .pipeline import export_bundle

    architecture, rows = architecture_of(settings.config), settings.config.vocab_size
    usual = architecture.special_tokens
    read = read_tokenizer(source.tokenizer, usual, architecture.model_type, rows)
    kept, spelled = _kept_files(source, architecture, callbacks["say"]), usual
    if not source.own_tokenizer:
        spelled = special_spellings(read, usual, architecture.style)
    left_out = left_out_remarks(read, settings.task)
    for line in (*left_out, *frame_remarks(spelled, architecture.style)):
        callbacks["say"](line)
    settings = replace(settings, special_tokens=spelled)
    settings, kept = _with_chat(
        settings,
        read,
        source.read_config(),
        kept,
        chat_template=chat_template,
        say=callbacks["say"],
    )
    if source.open_weights is None:
        weights = random_weights(settings.config, settings.tuning.seed)
    else:
        weights = checkpoint_weights(settings.config, source.open_weights())
        for line in remarks(weights):
            callbacks["say"](line)
    return export_bundle(settings, weights, read.tokenizer, kept, out, **callbacks)
