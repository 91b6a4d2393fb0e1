"""`source_of`: which kind of source a model's name means."""

from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import PRESETS

from .folder import folder_source
from .gguf import gguf_source, is_gguf
from .preset import preset_source
from .source import Source


def source_of(model: str | Path, random_init: bool = False) -> Source:
    """Returns the source that a name means: a preset before a folder or a GGUF file.

    Args:
      model: name, folder or GGUF file.
      random_init: whether the weights are drawn, which takes a preset.

    Raises:
      InputError: neither of both, or nothing to take the weights from.
    """
    if str(model) in PRESETS:
        return preset_source(str(model), random_init)
    if random_init:
        raise InputError(f"--random_init goes with a preset ({', '.join(PRESETS)})")
    if is_gguf(Path(model)):
        return gguf_source(Path(model))
    if Path(model).is_dir() or Path(model).is_file():
        return folder_source(Path(model))
    raise InputError(f"--model={model}: neither a folder nor a preset ({', '.join(PRESETS)})")
