"""The tokenizer of a checkpoint folder, as the one file that a bundle carries."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.errors import InputError

# <mask> is RoBERTa's alone; `special_token_ids` asks for it where it is needed.
_SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_NEEDED_TOKENS = _SPECIAL_TOKENS[:-1]


def tokenizer_for(folder) -> Tokenizer:
    """Loads tokenizer.json, or builds RoBERTa's and OPT's tokenizer from vocab.json and merges.txt.

    The built one is that of transformers 5. A published RoBERTa tokenizer.json differs from it in
    one thing: there a text's own "<mask>" swallows the spaces before it.
    """
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():
        return load_tokenizer(folder / "tokenizer.json")
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    missing = [path.name for path in (vocab, merges) if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder}: {' and '.join(missing)} not found, expected tokenizer.json, or vocab.json "
            "and merges.txt; copy them from the checkpoint"
        )
    return _build(folder, vocab, merges)


def save_tokenizer(tokenizer: Tokenizer, path) -> None:
    """Writes the tokenizer as a tokenizer.json."""
    Path(path).write_text(tokenizer.to_str(), encoding="utf-8")


def special_token_ids(
    tokenizer: Tokenizer, tokens: dict[str, str | None], needed: Iterable[str], model: str
) -> dict[str, int | None]:
    """Returns {role: id} of the special tokens, None for one that the tokenizer lacks.

    Args:
      tokenizer: of the checkpoint.
      tokens: role -> token, None for a role that the model has no token for.
      needed: the roles whose tokens must be there.
      model: the kind of model, for the error.

    Raises:
      InputError: a needed token is missing.
    """
    ids = {role: token and tokenizer.token_to_id(token) for role, token in tokens.items()}
    missing = [tokens[role] for role in needed if ids[role] is None]
    if missing:
        raise InputError(
            f"tokenizer: {', '.join(missing)} not found among {tokenizer.get_vocab_size()} "
            f"tokens, expected {', '.join(tokens[role] for role in needed)}; use the tokenizer of "
            f"{model} checkpoint"
        )
    return ids


def _build(folder: Path, vocab: Path, merges: Path) -> Tokenizer:
    try:
        model = models.BPE.from_file(
            str(vocab), str(merges), continuing_subword_prefix="", end_of_word_suffix=""
        )
    except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"{folder}: vocab.json and merges.txt make no BPE ({reason}), expected those of "
            "the checkpoint; copy them from the checkpoint again"
        ) from error
    ids = {token: model.token_to_id(token) for token in _SPECIAL_TOKENS}
    missing = [token for token in _NEEDED_TOKENS if ids[token] is None]
    if missing:
        raise InputError(
            f"{vocab}: {', '.join(missing)} not found, expected RoBERTa's special tokens; "
            "use the vocabulary of a RoBERTa or OPT checkpoint, not GPT-2's"
        )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    known = [token for token, number in ids.items() if number is not None]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in known])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]),
        ("<s>", ids["<s>"]),
        trim_offsets=True,
        add_prefix_space=False,
    )
    return tokenizer
