"""Checks of a bundle's values, before anything is done with them."""

import math
from dataclasses import asdict

from .. import contract
from .contents import Bundle


def check_bundle(bundle: Bundle) -> None:
    """Checks that the values of `bundle.json` agree with each other.

    Raises:
      ValueError, KeyError: they do not.
    """
    if bundle.tune not in contract.TUNES or bundle.base not in contract.BASES:
        raise ValueError(f"unknown tune {bundle.tune!r} or base {bundle.base!r}")
    if bundle.noise["kind"] not in contract.NOISE_KINDS:
        raise ValueError(f"unknown noise kind {bundle.noise['kind']!r}")
    if not bundle.lengths or list(bundle.lengths) != sorted(set(bundle.lengths)):
        raise ValueError(f"lengths {list(bundle.lengths)} are not ascending")
    if bundle.batch_size < 1 or bundle.slices < 1:
        raise ValueError("batch_size and slices must be positive")
    if bundle.max_tokens < bundle.lengths[-1]:
        raise ValueError(f"max_tokens {bundle.max_tokens} is below the longest of the lengths")
    if not 0 < bundle.default_eps < math.inf:
        raise ValueError(f"default_eps {bundle.default_eps} is not positive")
    _check_special_tokens(bundle)
    _check_scoring(bundle)
    if contract.MEZO not in bundle.optimizers:
        raise ValueError(f"optimizers {list(bundle.optimizers)} without mezo")
    for needed in (contract.MODEL_FILE, contract.TOKENIZER_FILE):
        bundle.files[needed]
    _check_places(bundle)
    for tokens in bundle.lengths:
        bundle.signatures[contract.forward_loss_for(tokens)]
        if contract.ADAM in bundle.optimizers:
            bundle.signatures[contract.adam_step_for(tokens)]
    for signature in (contract.PERTURB_AND_UPDATE, contract.PERTURB_AND_DECAY):
        bundle.signatures[signature]


def _check_places(bundle):
    """Raises ValueError where values would be read from outside the model file."""
    places = {v.name: (v.offset, v.shape) for v in bundle.variables}
    if "offset" in bundle.noise:
        table = bundle.noise
        places["the noise table"] = (table["offset"], (table["rows"], table["columns"]))
    size = bundle.files[contract.MODEL_FILE]["bytes"]
    for name, (offset, shape) in places.items():
        sound = all(isinstance(n, int) and n > 0 for n in shape) and isinstance(offset, int)
        if not sound or not 0 <= offset <= size - 4 * math.prod(shape):
            raise ValueError(f"{name} {list(shape)} at {offset} is not inside the model file")
    rows = bundle.noise.get("rows", 1)
    if rows & (rows - 1):
        raise ValueError(f"the noise table has {rows} rows, which is no power of two")


def _check_special_tokens(bundle):
    special = asdict(bundle.special_tokens)
    missing = [role for role in contract.NEEDED_TOKENS[bundle.style] if special[role] is None]
    if missing:
        raise ValueError(f"special_tokens without {', '.join(missing)}")
    negative = [role for role, token in special.items() if token is not None and token < 0]
    if negative:
        raise ValueError(f"special_tokens with negative ids of {', '.join(negative)}")


def _check_scoring(bundle):
    scoring = bundle.scoring
    if scoring not in contract.SCORINGS:
        raise ValueError(f"unknown scoring {scoring!r}")
    if bundle.style == contract.MASKED and scoring != contract.WORDS:
        raise ValueError(f"scoring {scoring!r} of a task with one row for all words")
    if (scoring == contract.GOLD) == bool(bundle.task.words):
        raise ValueError(f"scoring {scoring!r} of a task with words {list(bundle.task.words)}")
    if len(bundle.word_ids) != (len(bundle.task.words) if scoring == contract.WORDS else 0):
        raise ValueError(f"{len(bundle.word_ids)} word_ids for {len(bundle.task.words)} words")
    if scoring != contract.WORDS and bundle.option_tokens < 1:
        raise ValueError(f"option_tokens {bundle.option_tokens} is not positive")
