"""The path of `--json`: a place that no input has, and no file of a bundle, run or checkpoint."""

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..host.files import check_writable

# Flags of folders that commands write to or read from.
FOLDERS = ("bundle", "run", "out", "workdir")
# In such a folder a result may be another file that ends in .json.
RESERVED = {
    "adapter_config.json", "bundle.json", "config.json", "generation_config.json", "measured.json",
    "model.safetensors.index.json", "packed-weights.json", "simulation.json", "source.json",
    "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "warnings.json",
}  # fmt: skip


def check_result_path(path: Path, others: Mapping[str, object]) -> None:
    """Checks where a command will write its result, before its work.

    Args:
      path: of the result.
      others: values of the command's other flags.

    Raises:
      InputError: another flag names the path, a folder of the command keeps another file there, or
        nothing can be written there.
      RunError: the disk is full.
    """
    whole = Path(os.path.abspath(path))
    for name, value in others.items():
        if not (isinstance(value, str) and value):
            continue
        other = Path(os.path.abspath(value))
        if whole == other:
            raise InputError(f"--json={path}: --{name} is there too; choose another path")
        if name in FOLDERS and other in whole.parents:
            _check_inside(path, name, whole.parent == other)
    check_writable(path)


def _check_inside(path, name, is_child):
    """Raises InputError where a result's path is that of a file in a folder, or may become it."""
    if not is_child or path.suffix != ".json" or path.name in RESERVED:
        raise InputError(
            f"--json={path}: --{name} keeps its own files there; choose another path, outside it"
        )
