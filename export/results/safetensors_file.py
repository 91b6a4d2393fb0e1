"""Writes safetensors files; a full disk is an OSError, as with every other file."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors by name, as PyTorch's readers expect them.

    Raises:
      OSError: the disk is full, say.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
