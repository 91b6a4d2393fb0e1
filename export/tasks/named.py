"""A task by its name, among those of a model's style."""

from dataclasses import replace

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks import causal, masked, text
from pocketllm.runtime.tasks.codec import Task
from pocketllm.runtime.tasks.text import TextTask

from ..families.architecture import Architecture
from .own_data import option_text_task, text_task

TEXT = "text"
# Style -> its tasks, and what makes the one of --task=text.
TASKS = {contract.MASKED: masked.TASKS, contract.CAUSAL: causal.TASKS | text.TASKS}
TEXT_TASKS = {contract.MASKED: text_task, contract.CAUSAL: option_text_task}
# --mask -> which tokens of learnt text are learnt.
MASKS = {"answers": text.ANSWERS, "none": text.EVERYTHING}


def task_named(
    name: str,
    model: Architecture,
    prompt: str | None = None,
    label_words: str | None = None,
    mask: str = "answers",
) -> Task:
    """Returns a task of a model's style.

    Args:
      name: of the task, or "text" for one's own data.
      model: whose style the task must have.
      prompt: template of "text", such as "{text} It was {mask}."; see own_data.py.
      label_words: of "text", such as "0:terrible,1:great".
      mask: of learnt text, one of MASKS: "none" learns prompts too.

    Raises:
      InputError: no such task, or a prompt or mask that goes with none.
    """
    if name == TEXT:
        if not prompt or not label_words:
            raise InputError("--task=text needs --prompt and --label_words")
        _check_mask(name, mask)
        return TEXT_TASKS[model.style](prompt, label_words)
    if prompt or label_words:
        raise InputError(f"--prompt and --label_words go with --task=text, not {name}")
    tasks = TASKS[model.style]
    if name not in tasks:
        raise InputError(
            f"--task={name}: unknown for {model.model_type} models, expected "
            f"{', '.join(tasks)} or text"
        )
    task = tasks[name]
    if isinstance(task, TextTask):
        return replace(task, learnt=MASKS[mask]) if task.form != text.LM else task
    _check_mask(name, mask)
    return task


def _check_mask(name, mask):
    """Raises InputError for a mask of a task that learns no text."""
    if MASKS[mask] != text.ANSWERS:
        raise InputError(f"--mask={mask} goes with --task=sft or chat, not {name}")
