"""Trained values as tensors of a checkpoint: Hugging Face's names and shapes."""

from collections.abc import Iterator, Sequence

import numpy as np

from pocketllm.runtime.bundle.contents import Bundle, Parameter
from pocketllm.runtime.engine.model import Model

from ..models import architecture_in_bundle


def in_checkpoint_layout(parameter: Parameter, chunks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a parameter's values in the checkpoint's shape, from those of its variables."""
    rows = [chunk[0].T if parameter.transposed else chunk for chunk in chunks]
    return np.ascontiguousarray(np.concatenate(rows))


def names_of(bundle: Bundle, parameter: Parameter) -> list[str]:
    """Returns every name under which transformers saves a parameter, ours first.

    What an untied head has twice, a tied one's checkpoint leaves out, as it does the decoder.
    """
    names = architecture_in_bundle(bundle).names
    second = None if bundle.tied_decoder else names.second.get(parameter.name)
    return [parameter.name, second] if second else [parameter.name]


def trained_tensors(model: Model) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, float32 values) of every trained tensor; one with two names comes twice."""
    owners = {v.name: p for p in model.bundle.parameters for v in p.variables}
    waiting: dict[str, np.ndarray] = {}  # chunks of parameters that are not complete yet
    for variable_name, values in model.read():
        waiting[variable_name] = values
        parameter = owners[variable_name]
        if all(variable.name in waiting for variable in parameter.variables):
            chunks = [waiting.pop(variable.name) for variable in parameter.variables]
            whole = in_checkpoint_layout(parameter, chunks)
            for name in names_of(model.bundle, parameter):
                yield name, whole
