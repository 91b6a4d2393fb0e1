"""Where the files of a model lie: in a checkpoint folder, or in those of a preset."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import PRESETS

from .checkpoint.other_files import as_file


@dataclass(frozen=True)
class Source:
    """The files that a bundle is made of.

    Attributes:
      name: of the preset or the folder.
      config_path: config.json.
      checkpoint: folder of the weights; None for random ones.
      tokenizer: folder of the tokenizer's files.
    """

    name: str
    config_path: Path
    checkpoint: Path | None
    tokenizer: Path


def source_of(model: str | Path, random_init: bool) -> Source:
    """Returns the source of a preset or a checkpoint folder.

    Args:
      model: name or folder.
      random_init: whether the weights are drawn, which takes a preset.

    Raises:
      InputError: neither of both, or nothing to take the weights from.
    """
    preset, name = PRESETS.get(str(model)), Path(model).name
    if random_init:
        if preset is None:
            raise InputError(f"--random_init goes with a preset ({', '.join(PRESETS)})")
        return Source(name, preset.config_path, None, preset.tokenizer_folder)
    folder = preset.checkpoint_folder if preset else Path(model)
    if folder is None:
        raise InputError(
            f"--model={model}: no weights come with this preset; give the folder of its "
            "checkpoint, or --random_init for measurements"
        )
    if folder.is_file():
        raise InputError(
            f"--model={model}: a file, expected a folder or a preset; {as_file(folder)}"
        )
    if not folder.is_dir():
        raise InputError(f"--model={model}: neither a folder nor a preset ({', '.join(PRESETS)})")
    return Source(name, folder / "config.json", folder, folder)
