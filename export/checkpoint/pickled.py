"""Tensors of a .bin file: PyTorch's own format, read as weights alone and never run."""

import re
import zipfile
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.foreign import foreign_kind

# Under which of its entries a training script keeps the tensors of a model.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
DEPTH = 3  # of dictionaries around a state dict


def tensors_in(path: Path) -> dict:
    """Returns {name: tensor}, mapped rather than read where the file's format allows it.

    Raises:
      InputError: it cannot be read, or does not say which tensors are the model's.
    """
    import torch

    kind = foreign_kind(path) or _safetensors(path)
    if kind:
        raise InputError(f"{path}: not readable as weights alone: {kind}")
    try:
        mapped = zipfile.is_zipfile(path)  # not so before PyTorch 1.6
        entries = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises whatever the file's bytes lead it to
        raise InputError(f"{path}: {_reason(error)}") from error
    return _state_dict(path, entries)


def _safetensors(path):
    """Says that a file is one of safetensors under another name; None for others."""
    with open(path, "rb") as file:
        head = file.read(9)
    named = head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
    return "a safetensors file; call it model.safetensors" if named else None


def _reason(error):
    """Says what is wrong; torch's words name an object that is no tensor."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named:
        return (
            f"not readable as weights alone: it holds {named[1]}, not just tensors; load it where "
            "it was made, and save the model with save_pretrained"
        )
    return (
        f"not readable as weights alone ({type(error).__name__}); download it again, or, if it is "
        "whole, save the checkpoint as safetensors"
    )


def _named_tensors(entries):
    import torch

    return {n: t for n, t in entries.items() if isinstance(n, str) and torch.is_tensor(t)}


def _tables(entries, keys=()):
    """Yields (keys to it, {name: tensor}) of each table of tensors, at any depth."""
    if not isinstance(entries, dict):
        return
    tensors = _named_tensors(entries)
    if tensors:
        yield keys, tensors
    for key, value in entries.items():
        if len(keys) < DEPTH:
            yield from _tables(value, (*keys, str(key)))


def _state_dict(path, entries):
    """Returns the model's tensors: of the file itself, or of a training script's dictionary in it.

    A script keeps other tensors beside (an epoch, a metric, an optimizer's moments): a model's
    names hold a dot, unless no name in the file does.
    """
    tables = dict(_tables(entries))
    of_modules = {
        keys: tensors for keys, tensors in tables.items() if any("." in name for name in tensors)
    }
    tables = of_modules or tables
    usual = [keys for keys in tables if keys and set(keys) <= set(WRAPPERS)]
    usual = usual or [keys for keys in tables if not keys] or list(tables)
    if len(usual) == 1:
        return tables[usual[0]]
    keys = ", ".join(map(repr, list(entries)[:8])) if isinstance(entries, dict) else ""
    what = f"holds {keys}" if keys else f"holds a {type(entries).__name__}"
    several = ", ".join("/".join(keys) for keys in usual)
    cause = f"several of them tables of tensors: {several}" if usual else "no tensors"
    raise InputError(
        f"{path}: not readable as a table of tensors: {what}, {cause}; save the model's "
        "state_dict() alone, or save_pretrained"
    )
