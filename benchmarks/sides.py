"""The sides in PyTorch that ours is compared with: they differ in where the LM head runs.

RoBERTa's runs on the mask's row only, as in the code of MeZO's authors. OPT's runs on every token,
as transformers and the authors run it; because nothing but the scored row is needed, a second side
runs it there alone.
"""

# Suffix of a side's keys in a batch's result ("pytorch", "ratio", "first_loss_difference") ->
# (its name, its column's heading).
NAMES = {
    "": ("PyTorch", "PyTorch"),
    "_row": ("PyTorch, head on the option row", "PyTorch, row"),
}
# Family -> suffixes of its sides -> whether the LM head runs on every token.
FULL_HEAD = {"roberta": {"": False}, "opt": {"": True, "_row": False}}


def measured(batch: dict) -> list[str]:
    """Returns the suffixes of the sides that a batch's result holds."""
    return [suffix for suffix in NAMES if batch.get(f"pytorch{suffix}")]
