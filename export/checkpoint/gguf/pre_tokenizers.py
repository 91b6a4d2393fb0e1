"""Pre-tokenizers by the names that llama.cpp gives them: where a text is cut before it is merged.

llama.cpp names one after its first model, by the ids that it gives to a test text. Regular
expressions: those of the models' own tokenizer.json, as llama-vocab.cpp quotes them.
"""

from dataclasses import dataclass

from tokenizers import Regex, normalizers, pre_tokenizers

from pocketllm.runtime.errors import InputError

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{SYMBOLS}"
QWEN2 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{SYMBOLS}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_START = r"[^\r\n\p{L}\p{N}]?"
TEKKEN = rf"{_START}{_UPPER}*{_LOWER}+|{_START}{_UPPER}+{_LOWER}*|\p{{N}}|{_SYMBOLS}"
GPT4O = (
    rf"{_START}{_UPPER}*{_LOWER}+{CONTRACTIONS}?|{_START}{_UPPER}+{_LOWER}*{CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}|{_SYMBOLS}"
)


@dataclass(frozen=True)
class PreTokenizer:
    """How a text is cut, and what goes with it.

    Attributes:
      pattern: what it is cut by; None for GPT-2's own.
      digits: whether each digit stands alone, before the pattern is applied.
      composed: whether the text is first brought into Unicode's form C.
      whole_words: whether a word that is a token is not merged together.
      add_bos: whether a text begins with bos where the file does not say.
    """

    pattern: str | None = None
    digits: bool = False
    composed: bool = False
    whole_words: bool = False
    add_bos: bool = False

    def normalizer(self) -> normalizers.Normalizer | None:
        """Returns the tokenizer's normalizer."""
        return normalizers.NFC() if self.composed else None

    def built(self) -> pre_tokenizers.PreTokenizer:
        """Returns the tokenizer's pre-tokenizer."""
        byte_level = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=self.pattern is None
        )
        steps: list = [pre_tokenizers.Digits(individual_digits=True)] if self.digits else []
        if self.pattern is not None:
            steps.append(pre_tokenizers.Split(Regex(self.pattern), behavior="isolated"))
        return pre_tokenizers.Sequence([*steps, byte_level]) if steps else byte_level


_OF_LLAMA3 = PreTokenizer(LLAMA3, whole_words=True, add_bos=True)
_OF_GPT2, _OF_SMOLLM = PreTokenizer(), PreTokenizer(digits=True)
PRE_TOKENIZERS = {
    "gpt-2": _OF_GPT2,
    "phi-2": _OF_GPT2,
    "olmo": _OF_GPT2,
    "smollm": _OF_SMOLLM,
    "starcoder": _OF_SMOLLM,
    "refact": _OF_SMOLLM,
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"), _OF_LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), PreTokenizer(LLAMA3)),
    "qwen2": PreTokenizer(QWEN2, composed=True),
    **dict.fromkeys(("deepseek-r1-qwen", "megrez"), PreTokenizer(QWEN2)),
    "tekken": PreTokenizer(TEKKEN, whole_words=True, add_bos=True),
    "gpt-4o": PreTokenizer(GPT4O),
}


def pre_tokenizer_named(name: str, path) -> PreTokenizer:
    """Returns the pre-tokenizer of a name; InputError, with the file's path, for an unknown one."""
    if name not in PRE_TOKENIZERS:
        shown = f"the pre-tokenizer {name[:80]!r}" if name else "no tokenizer.ggml.pre"
        remedy = (
            "give the folder of transformers' checkpoint"
            if name
            else ("convert the model again with today's llama.cpp")
        )
        raise InputError(
            f"{path}: a byte-level tokenizer with {shown}, implemented are "
            f"{', '.join(PRE_TOKENIZERS)}; {remedy}"
        )
    return PRE_TOKENIZERS[name]
