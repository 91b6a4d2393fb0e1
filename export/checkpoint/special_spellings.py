"""The special tokens that frame and fill a row: those that the checkpoint's tokenizer puts."""

from dataclasses import asdict

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.codec import Task

from .tokenizer import SpecialSpellings
from .transformers_tokenizer import SourceTokenizer

# What Llama 3 has beside the text's tokens, where its files name no pad token.
FILLERS = ("<|finetune_right_pad_id|>",)


def special_spellings(
    source: SourceTokenizer, usual: SpecialSpellings, style: str
) -> SpecialSpellings:
    """Returns how a checkpoint's tokenizer spells the tokens that frame and fill a row.

    Args:
      source: as `read_tokenizer` reads it.
      usual: of the architecture, for what AutoTokenizer gives no token.
      style: contract.MASKED or CAUSAL. A causal row ends with the text, whatever stands behind it.

    Raises:
      InputError: more than one token stands in front of a text, or behind a masked one.
    """
    special = source.special
    if special is None:
        return usual
    tokenizer, (front, back) = source.tokenizer, frame_of(source.tokenizer)
    sides = {"in front of": front, "behind": back if style == contract.MASKED else []}
    for side, tokens in sides.items():
        if len(tokens) > 1:
            raise InputError(
                f"tokenizer: puts {' '.join(tokens)} {side} a text, expected one special token or "
                "none; give a tokenizer with another post-processor"
            )

    def is_known(token):
        return tokenizer.token_to_id(token) is not None

    known = asdict(usual) | {role: token for role, token in special.items() if is_known(token)}
    pad, last = known["pad"], "".join(back) if style == contract.MASKED else known["eos"]
    if not is_known(pad) and (style == contract.CAUSAL or not pad):
        # A filler is never looked at, so any token will do.
        pad = next(token for token in (*FILLERS, last, _first_token(tokenizer)) if is_known(token))
    return SpecialSpellings(
        bos="".join(front), pad=pad, eos=last, unk=known["unk"], mask=known["mask"]
    )


def _first_token(tokenizer):
    return min(vocabulary := tokenizer.get_vocab(), key=vocabulary.__getitem__)


def frame_remarks(spelled: SpecialSpellings, style: str) -> list[str]:
    """Says where a masked row has no token at an end: a RoBERTa was hardly trained so."""
    if style != contract.MASKED or (spelled.bos and spelled.eos):
        return []
    missing = [
        side for side, token in (("in front", spelled.bos), ("behind", spelled.eos)) if not token
    ]
    return [
        f"rows have no special token {' and '.join(missing)}, as the checkpoint's tokenizer "
        "files say; add a post-processor there if it was trained with one"
    ]


def left_out_remarks(source: SourceTokenizer, task: Task) -> list[str]:
    """Says which tokens are left out, because the model has no rows for them.

    Raises:
      InputError: the task spells one.
    """
    if not source.left_out:
        return []
    names = ", ".join(source.left_out)
    spelled = [
        t for t in source.left_out if any(t in text for text in (task.template, *task.words))
    ]
    if spelled:
        raise InputError(
            f"--prompt: spells {spelled[0]}, a token that the model has no row for; take it out, "
            "or give weights whose embeddings were resized for it"
        )
    return [f"without {names}: the model has no rows for them, a text that spells one is text"]


def frame_of(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Returns the special tokens that a post-processor puts before and behind a text.

    Raises:
      InputError: no text has tokens.
    """
    encoding = tokenizer.encode(_any_text(tokenizer))
    special = encoding.special_tokens_mask
    begin, end = special.index(0), len(special) - special[::-1].index(0)
    return encoding.tokens[:begin], encoding.tokens[end:]


def _any_text(tokenizer):
    """Returns a text with ordinary tokens; not every vocabulary has a given letter."""
    added = set(tokenizer.get_added_tokens_decoder())
    for number in sorted(tokenizer.get_vocab().values()):
        text = "" if number in added else tokenizer.decode([number])
        if text.strip() and tokenizer.encode(text, add_special_tokens=False).ids:
            return text
    raise InputError(
        "tokenizer: no text has tokens, expected a vocabulary of words or letters; give the "
        "tokenizer files of this checkpoint"
    )
