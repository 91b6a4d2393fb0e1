"""`source_of`: which kind of source a model's name means."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pocketllm.runtime.errors import InputError, first_line
from pocketllm.tflite_models.presets import PRESETS

from .folder import folder_source
from .gguf import gguf_source, is_gguf
from .preset import preset_source
from .source import Source

if TYPE_CHECKING:
    from ..hub.download import Bar


def source_of(
    model: str | Path,
    random_init: bool = False,
    *,
    revision: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    bar: "Bar | None" = None,
) -> Source:
    """Returns the source that a name means: a preset, then what lies here, then the Hub.

    Args:
      model: name, folder, GGUF file, or OWNER/NAME on the Hub.
      random_init: whether the weights are drawn, which takes a preset.
      revision: of a model on the Hub: a branch, a tag or a commit; None for main.
      say: gets a line about what was taken from the Hub.
      bar: opens a progress bar for a download; None for none.

    Raises:
      InputError: none of these, or nothing to take the weights from.
      RunError: a download fails.
    """
    preset = str(model) in PRESETS
    if random_init and not preset:
        raise InputError(f"--random_init goes with a preset ({', '.join(PRESETS)})")
    path, is_address = Path(model), "://" in str(model)
    kind = _kind_here(path)
    if revision is not None and (preset or kind):
        kind = "a preset" if preset else kind
        raise InputError(f"--revision goes with a name on the Hub, --model={model} is {kind}")
    if preset:
        return preset_source(str(model), random_init)
    if not is_address and is_gguf(path):
        return gguf_source(path)
    if kind:
        return folder_source(path)
    # The library is loaded where its network is meant.
    try:
        from ..hub.download import no_bar
        from ..hub.hints import near
        from .hub import hub_source, name_on_hub
    except ValueError as error:  # it reads its settings while it loads
        raise InputError(
            f"--model={model}: huggingface_hub does not load ({first_line(error)}); check the "
            "variables HF_… of the environment"
        ) from error

    name = name_on_hub(str(model), revision)
    if name is None:
        raise InputError(
            f"--model={model}: neither a folder, a GGUF file nor a preset "
            f"({', '.join(PRESETS)}), nor OWNER/NAME of a model on the Hub{near(str(model))}"
        )
    return hub_source(name, say, bar or no_bar)


def _kind_here(path):
    """Returns "a folder" or "a file"; "" where nothing lies there.

    Raises:
      InputError: neither of both, or a path that cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # nothing there; a NUL inside
        return ""
    except OSError as error:  # too long, a loop of links, a folder that may not be entered
        raise InputError(f"--model={str(path)[:200]}: {error.strerror}; check the path") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InputError(
            f"--model={path}: a pipe or a device, which cannot be read twice; give a folder or a "
            "file"
        )
    return "a folder" if stat.S_ISDIR(mode) else "a file"
