"""Whether an answer holds a fact: one of its spellings, as whole words, in any case."""

import re
from collections.abc import Sequence


def holds(answer: str, spellings: Sequence[str]) -> bool:
    """Says whether one of `spellings`, in lower case, stands in an answer as whole words."""
    text = answer.lower().replace("’", "'")
    return any(re.search(rf"(?<!\w){re.escape(spelling)}(?!\w)", text) for spelling in spellings)
