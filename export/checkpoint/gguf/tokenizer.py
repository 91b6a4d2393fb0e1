"""tokenizer.json of a GGUF file: a BPE over bytes, or SentencePiece's with scores for ranks."""

from collections import defaultdict
from itertools import takewhile
from pathlib import Path

import numpy as np
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    processors,
)

from pocketllm.runtime.errors import InputError, first_line, is_of_tokenizers

from .pre_tokenizers import pre_tokenizer_named
from .vocabulary import BYTE_LEVEL, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary

SPACE = "▁"  # SentencePiece's


def build_tokenizer(vocabulary: Vocabulary, path: Path, ordered: bool) -> Tokenizer:
    """Builds the tokenizer that a file describes.

    Args:
      vocabulary: of the file.
      path: of the file, for error messages.
      ordered: whether tokens of a SentencePiece vocabulary are merged in the order of their ids,
        as Gemma's are, whose scores say something else of the spaces.

    Raises:
      InputError: a pre-tokenizer that is not implemented, or merges that make no tokenizer.
    """
    byte_level = vocabulary.model == BYTE_LEVEL
    try:
        if byte_level:
            tokenizer = _byte_level(vocabulary, path)
        else:
            tokenizer = _sentencepiece(vocabulary, ordered)
        _add_tokens(tokenizer, vocabulary)
        frame = _frame(vocabulary, adds_bos(vocabulary, path), path)
        if frame is not None:
            tokenizer.post_processor = frame
    except BaseException as error:  # plain Exception, or a panic, which is none
        if isinstance(error, InputError) or not is_of_tokenizers(error):
            raise
        raise InputError(
            f"{path}: its vocabulary and merges make no tokenizer ({first_line(error)}); convert "
            "the model again with llama.cpp"
        ) from error
    return tokenizer


def adds_bos(vocabulary: Vocabulary, path: Path) -> bool:
    """Returns whether a text begins with bos: as the file says, else as llama.cpp does."""
    if vocabulary.add_bos is not None:
        return vocabulary.add_bos
    if vocabulary.model == BYTE_LEVEL:
        return pre_tokenizer_named(vocabulary.pre, path).add_bos
    return True


def _byte_level(vocabulary, path):
    pre = pre_tokenizer_named(vocabulary.pre, path)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=_ids(vocabulary, vocabulary.tokens),
            merges=list(vocabulary.merges),
            ignore_merges=pre.whole_words,
            continuing_subword_prefix="",
            end_of_word_suffix="",
        )
    )
    normalizer = pre.normalizer()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre.built()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(vocabulary, ordered):
    tokens = [_respelled(token) for token in vocabulary.tokens]
    ids = _ids(vocabulary, tokens)
    merges = vocabulary.merges or _merges_of(vocabulary, tokens, ids, ordered)
    unknown = vocabulary.special["unk"]
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=list(merges),
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    replaced = normalizers.Replace(" ", SPACE)
    steps: list = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if vocabulary.add_space:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replaced])
        steps.append(decoders.Strip(content=" ", left=1, right=0))
    else:
        tokenizer.normalizer = replaced
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _respelled(token):
    """Returns a token of spaces alone as a text has it: llama.cpp's converter unescapes them."""
    return SPACE * len(token) if token and not token.strip(" ") else token


def _ids(vocabulary, tokens):
    fillers = vocabulary.fillers()
    return {token: number for number, token in enumerate(tokens) if number not in fillers}


def _merges_of(vocabulary, tokens, ids, ordered):
    """Returns the merges that scores stand for: pairs of tokens that make a token, best first.

    No text is merged into a control or byte token.
    """
    kinds, count = vocabulary.kinds, len(tokens)
    spaces = {number for number in range(count) if set(tokens[number]) == {SPACE}}
    whole = [n for n in range(count) if kinds[n] in (NORMAL, USER_DEFINED) or n in spaces]
    ranks = np.arange(count)
    if not ordered:
        ranks[np.argsort(-vocabulary.scores, kind="stable")] = np.arange(count)
    mergeable = {tokens[number]: number for number in whole if tokens[number] in ids}
    lengths = {len(token) for token in mergeable}
    shortest_first = sorted(lengths - {0})
    pairs: dict[int, list] = defaultdict(list)
    for token, number in mergeable.items():
        # Lengths that tokens have, not every place: a damaged file may hold one of megabytes.
        for cut in takewhile(len(token).__gt__, shortest_first):
            if len(token) - cut not in lengths:
                continue
            first, second = mergeable.get(token[:cut]), mergeable.get(token[cut:])
            if first is not None and second is not None:
                pairs[int(ranks[number])].append((first, second))
    return [
        (tokens[first], tokens[second])
        for rank in sorted(pairs)
        for first, second in sorted(pairs[rank])
    ]


def _add_tokens(tokenizer, vocabulary):
    """Adds the tokens that are cut out of a text before it is tokenized."""
    fillers, added = vocabulary.fillers(), []
    for number, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds)):
        special = kind in (CONTROL, UNKNOWN)
        kept = special or (kind == USER_DEFINED and token == _respelled(token))
        if kept and number not in fillers:
            added.append(AddedToken(token, normalized=False, special=special))
    # In one call each would be as many scans of the vocabulary.
    tokenizer.add_tokens(added)


def _frame(vocabulary, bos, path):
    """Returns the post-processor that puts bos before and eos behind a text; None for neither."""
    roles = {"bos": bos, "eos": bool(vocabulary.add_eos)}
    names = [role for role, present in roles.items() if present]
    for role in names:
        if vocabulary.spelled(role) is None:
            raise InputError(
                f"{path}: every text is to be framed by {role}, and metadata "
                f"tokenizer.ggml.{role}_token_id is missing; convert the model again with llama.cpp"
            )
    if not names:
        return None
    spelled = {role: vocabulary.spelled(role) for role in names}
    before, behind = ([spelled[role]] if role in spelled else [] for role in ("bos", "eos"))

    return processors.TemplateProcessing(
        single=[*before, "$A", *behind],
        pair=[
            *before,
            "$A",
            *behind,
            *(f"{t}:1" for t in before),
            "$B:1",
            *(f"{t}:1" for t in behind),
        ],
        special_tokens=[(spelled[role], vocabulary.special[role]) for role in names],
    )
