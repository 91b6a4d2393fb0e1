"""The tokenizer of a checkpoint folder, as the one file that a bundle carries."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.errors import InputError, first_line
from pocketllm.runtime.host.typed_json import typed

from .tokenizer_files import MERGES, VOCAB, check_files, is_unframed
from .transformers_tokenizer import SourceTokenizer, transformers_tokenizer

# Style -> the roles of special tokens that its encoding needs, and those it can use.
NEEDED_ROLES = {contract.MASKED: ("bos", "eos", "pad", "mask"), contract.CAUSAL: ("bos", "pad")}
USED_ROLES = NEEDED_ROLES | {contract.CAUSAL: ("bos", "eos", "pad")}


@dataclass(frozen=True)
class SpecialSpellings:
    """How a tokenizer spells the tokens that no text spells; `bos` is "" where no row begins so."""

    bos: str
    pad: str
    eos: str
    unk: str
    mask: str | None


# Of RoBERTa and OPT, which were trained with fairseq.
FAIRSEQ_TOKENS = SpecialSpellings(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", mask="<mask>")

# Of BERT and what was made after it.
BERT_TOKENS = SpecialSpellings(bos="[CLS]", pad="[PAD]", eos="[SEP]", unk="[UNK]", mask="[MASK]")

# Of architectures whose checkpoints say themselves which tokens they have.
NO_TOKENS = SpecialSpellings(bos="", pad="", eos="", unk="", mask=None)


def special_ids(tokenizer: Tokenizer, tokens: SpecialSpellings, style: str) -> SpecialTokens:
    """Returns the ids, None for one that the style does not use or the tokenizer lacks.

    Raises:
      InputError: the tokenizer lacks a token that the style needs.
    """
    spelled = {role: getattr(tokens, role) for role in ("bos", "eos", "pad", "mask")}
    ids = {
        role: tokenizer.token_to_id(token) if token and role in USED_ROLES[style] else None
        for role, token in spelled.items()
    }
    needed = [role for role in NEEDED_ROLES[style] if spelled[role] != ""]
    missing = [str(spelled[role]) for role in needed if ids[role] is None]
    if missing:
        expected = ", ".join(str(spelled[role]) for role in needed)
        raise InputError(
            f"tokenizer: {', '.join(missing)} not found among {tokenizer.get_vocab_size()} tokens, "
            f"expected {expected}; give the tokenizer files of this checkpoint"
        )
    return typed(SpecialTokens, ids)


def tokenizer_for(
    folder, tokens: SpecialSpellings = FAIRSEQ_TOKENS, model_type: str = "roberta"
) -> Tokenizer:
    """Returns the tokenizer that `read_tokenizer` reads."""
    return read_tokenizer(folder, tokens, model_type).tokenizer


def read_tokenizer(
    folder, tokens: SpecialSpellings, model_type: str, rows: int | None = None
) -> SourceTokenizer:
    """Reads the tokenizer of a checkpoint, with the ids that transformers' AutoTokenizer gives.

    transformers itself reads the files, whichever there are. Where vocab.json and merges.txt stand
    alone, the same byte-level BPE is built here: transformers would give OPT the special tokens of
    GPT-2, which are none of the checkpoint's.

    Args:
      folder: of the checkpoint.
      tokens: what vocab.json must hold beside ordinary tokens, but for the mask, if it is alone.
      model_type: of the checkpoint; it decides the class where the files name none.
      rows: of the model's word embeddings; None for what config.json of the folder says.

    Raises:
      InputError: a file that is missing or cannot be read.
    """
    folder = Path(folder)
    names = check_files(folder)
    if is_unframed(names):
        return SourceTokenizer(_build(folder, tokens, framed=model_type != "opt"), None)
    source = transformers_tokenizer(folder, names, model_type, rows)
    source.tokenizer.no_padding()
    source.tokenizer.no_truncation()
    return source


def save_tokenizer(tokenizer: Tokenizer, path) -> None:
    """Writes the tokenizer as a tokenizer.json."""
    Path(path).write_text(tokenizer.to_str(), encoding="utf-8")


def _build(folder: Path, tokens: SpecialSpellings, framed: bool) -> Tokenizer:
    """Builds a byte-level BPE; a framed one puts bos and eos around a text and reads them in it."""
    vocab, merges = folder / VOCAB, folder / MERGES
    try:
        model = models.BPE.from_file(
            str(vocab), str(merges), continuing_subword_prefix="", end_of_word_suffix=""
        )
    except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
        raise InputError(
            f"{folder}: vocab.json and merges.txt make no BPE ({first_line(error)}), expected "
            "those of the checkpoint; copy them from the checkpoint again"
        ) from error
    needed = (tokens.bos, tokens.pad, tokens.eos, tokens.unk)
    spelled = [token for token in (*needed, tokens.mask) if token]
    ids = {token: number for token in spelled if (number := model.token_to_id(token)) is not None}
    missing = [token for token in needed if token not in ids]
    if missing:
        raise InputError(
            f"{vocab}: {', '.join(missing)} not found, expected the special tokens "
            f"{', '.join(needed)}; copy vocab.json and merges.txt from the checkpoint"
        )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if framed:
        tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ids])
        tokenizer.post_processor = processors.RobertaProcessing(
            (tokens.eos, ids[tokens.eos]),
            (tokens.bos, ids[tokens.bos]),
            trim_offsets=True,
            add_prefix_space=False,
        )
    return tokenizer
