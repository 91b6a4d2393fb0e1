"""A preset as a source: its weights where they are bundled, else drawn."""

from functools import partial

from pocketllm.runtime.errors import InputError
from pocketllm.tflite_models.presets import ON_HUB, PRESETS

from ..checkpoint.config import read_config_json
from ..checkpoint.source_files import CONFIG_FILE, collect_files, files_of_folder
from ..checkpoint.tokenizer_files import TOKENIZER_CONFIG
from .folder import folder_source
from .source import Source


def preset_source(name: str, random_init: bool) -> Source:
    """Returns the source of a preset.

    Raises:
      InputError: no weights come with it, and they are not drawn.
    """
    preset = PRESETS[name]
    if not random_init:
        if preset.checkpoint_folder is not None:
            return folder_source(preset.checkpoint_folder, name)
        of_hub = f"--model={ON_HUB[name]} (from the Hub), " if name in ON_HUB else ""
        raise InputError(
            f"--model={name}: no weights come with this preset; give {of_hub}the folder of its "
            "checkpoint, or --random_init for measurements"
        )
    folder, path = preset.tokenizer_folder, preset.config_path
    paths = files_of_folder(folder) | {CONFIG_FILE: path}
    if preset.tokenizer_config is not None:
        paths[TOKENIZER_CONFIG] = preset.tokenizer_config
    return Source(
        name=name,
        config_path=path,
        read_config=partial(read_config_json, path),
        tokenizer=folder,
        small_files=partial(collect_files, paths, name),
        open_weights=None,
        own_tokenizer=preset.tokenizer_config is not None,
    )
