"""The models: one file an architecture, named after its Hugging Face model_type.

Every file of this folder is one, so that a new architecture touches no other file.
"""

import pkgutil
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

from ..checkpoint.text_part import text_part
from ..families.architecture import Architecture, ModelConfig

# model_type -> all that the rest needs of it; the only table of architectures.
ARCHITECTURES: dict[str, Architecture] = {
    name: import_module(f"{__package__}.{name}").ARCHITECTURE
    for name in sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
}


def architecture_in(values: dict, source: str) -> Architecture:
    """Returns the architecture of a parsed config.json; InputError for one that is not here.

    Where it has no model_type, as very old ones, transformers' class says it.
    """
    model_type, classes = values.get("model_type"), values.get("architectures")
    strings = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if classes is not None and not strings:
        raise InputError(
            f"{source}: architectures is {repr(classes)[:80]}, expected a list of class names"
        )
    if model_type is None and classes:
        model_type = next(
            (known.model_type for known in ARCHITECTURES.values() if known.is_class_in(classes)),
            None,
        )
    return architecture_named(model_type, source)


def text_values(values: dict, source: str) -> dict:
    """Returns a parsed config.json; of a model of text and images that of its text part.

    Raises:
      InputError: such a model without a text part that is implemented.
    """
    whole = values.get("model_type")
    for known in ARCHITECTURES.values():
        if known.whole is not None and known.whole == whole:
            return text_part(values, known.model_type, known.hf_class, source)
    return values


def architecture_named(model_type: str | None, source: str) -> Architecture:
    """Returns the architecture of a model type, which `source` names; InputError as above."""
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise InputError(
            f"{source}: model_type is {repr(model_type)[:80]}, implemented are "
            f"{', '.join(ARCHITECTURES)}; give a checkpoint of one of these"
        )
    return ARCHITECTURES[model_type]


def architecture_in_bundle(bundle: Bundle) -> Architecture:
    """Returns the architecture that a bundle names; InputError as above."""
    return architecture_named(bundle.architecture, str(bundle.folder))


def model_config(values: dict, source: str) -> ModelConfig:
    """Reads a parsed config.json of any architecture; `source` is its path.

    Raises:
      InputError: another architecture, a missing value, or one that is not implemented.
    """
    return architecture_in(values, source).read_config(values, source)


def architecture_of(config: ModelConfig) -> Architecture:
    """Returns the architecture that a config is of."""
    return ARCHITECTURES[config.model_type]


def config_json(config: ModelConfig) -> dict:
    """Returns the config as it stands in bundle.json."""
    return {"model_type": config.model_type, **asdict(config)}
