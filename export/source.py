"""Where the files of a model lie: in a checkpoint folder, or in those of a preset."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import PRESETS

from .checkpoint.other_files import as_file
from .checkpoint.source_files import (
    CONFIG_FILE,
    SourceFiles,
    collect_files,
    files_of_folder,
    model_name_of,
)
from .checkpoint.tokenizer_files import TOKENIZER_CONFIG


@dataclass(frozen=True)
class Source:
    """The files that a bundle is made of.

    Attributes:
      name: of the preset or the folder.
      config_path: config.json.
      checkpoint: folder of the weights; None for random ones.
      tokenizer: folder of the tokenizer's files.
      tokenizer_config: tokenizer_config.json of a preset whose folder lacks it.
    """

    name: str
    config_path: Path
    checkpoint: Path | None
    tokenizer: Path
    tokenizer_config: Path | None = None

    def small_files(self) -> SourceFiles:
        """Reads what the model has beside its weights; InputError where that fails."""
        paths = files_of_folder(self.tokenizer) | {CONFIG_FILE: self.config_path}
        if self.tokenizer_config is not None:
            paths[TOKENIZER_CONFIG] = self.tokenizer_config
        return collect_files(paths, model_name_of(self.tokenizer, self.name))


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
        return Source(
            name, preset.config_path, None, preset.tokenizer_folder, preset.tokenizer_config
        )
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
    return Source(name, folder / CONFIG_FILE, folder, folder)
