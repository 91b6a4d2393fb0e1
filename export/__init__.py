"""The desktop's half: a Hugging Face checkpoint becomes a bundle (TensorFlow, safetensors).

`from pocketllm.export import …` gives the public interface, imported at first use:

  export     a preset or a checkpoint folder, and a task -> a bundle's folder
  Tuning     what is trained: all parameters, LoRA, a prefix, the label words' head
  Lora       settings of LoRA
  Exported   what `export` returns: counts, sizes and seconds

Errors are InputError and RunError of `pocketllm.runtime.errors`.
"""

from importlib import import_module
from typing import Any

# Public name -> the module that defines it.
_MODULES = {
    "Exported": "pipeline",
    "Lora": "tune.lora",
    "Tuning": "tune.settings",
    "export": "api",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: it may bring TensorFlow."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the module's names, those not imported yet included."""
    return sorted({*globals(), *__all__})
