"""What a name on the Hub may have been meant to be."""

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from pocketllm.tflite_models.presets import ON_HUB, PRESETS

from .library import cached_models
from .names import HubName

SECONDS = 5  # for a hint, which may be missing
MOST_MODELS = 300  # of one owner, that are looked through


def hint_of(name: HubName) -> str:
    """Returns what continues an error about a name that the Hub does not know; "" for nothing."""
    if _is_dataset(name.repo):
        return ": it is a dataset there; give the model that is to be trained on it"
    return near(name.repo, [*ON_HUB.values(), *_of_owner(name.repo.split("/")[0])])


def near(text: str, further: Sequence[str] = ()) -> str:
    """Names the nearest of what lies here and of `further` names.

    Here are presets, models in the Hub's cache, and folders beside the one named.
    """
    names = [*PRESETS, *cached_models(), *_folders_beside(text), *further]
    lowered = {name.lower(): name for name in reversed(names) if name != text}
    close = get_close_matches(text.lower(), lowered, 1, 0.75)
    if not close and "/" in text:  # OWNER/PRESET, or the owner misspelt
        close = get_close_matches(text.split("/")[1].lower(), lowered, 1, 0.8)
    return f"; did you mean {lowered[close[0]]}?" if close else ""


def _folders_beside(text):
    with suppress(OSError, ValueError):
        parent = Path(text).parent
        return [str(path) for path in islice(parent.iterdir(), 1000) if path.is_dir()]
    return []


def _of_owner(owner):
    """Returns the owner's models on the Hub; none where they cannot be had at once."""
    with suppress(Exception):  # the error that is being explained is worth more
        return [model["id"] for model in _answer("models", author=owner, limit=MOST_MODELS)]
    return []


def _is_dataset(repo):
    with suppress(Exception):
        return "id" in _answer(f"datasets/{repo}")
    return False


def _answer(path, **parameters):
    """Asks the Hub's interface, once, for JSON."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    from .library import LIBRARY_NAME, endpoint

    response = get_session().get(
        f"{endpoint()}/api/{path}",
        params=parameters,
        headers=build_hf_headers(library_name=LIBRARY_NAME),
        timeout=SECONDS,
    )
    hf_raise_for_status(response)
    return response.json()
