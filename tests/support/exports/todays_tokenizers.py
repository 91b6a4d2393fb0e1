"""Tiny tokenizers of the makes that today's models have, and folders with their files.

Each knows a few whole words and spells the rest by bytes, as the published ones do: SmolLM2 (digits
on their own), Llama 3 (a regular expression, merges that whole words pass by), Qwen (NFC, tokens
that are added and not special), Gemma (one piece a text, spaces as ▁), TinyLlama (▁ in front).
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers.processors import TemplateProcessing

WORDS = (" terrible", " great", " It", " was", " film", "Yes", "No", "Maybe", " Yes", " No")
# Llama 3's, and Qwen's with single digits.
WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA3 = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",
)  # fmt: skip
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")


def _merged(words, first, marker):
    """Returns (vocab, merges) that make each word of its characters, behind the tokens `first`."""
    tokens, merges = list(first), []
    for word in words:
        spelled = word.replace(" ", marker)
        for length in range(1, len(spelled)):
            if (pair := (spelled[:length], spelled[length])) not in merges:
                merges.append(pair)
    tokens += [token for token in map("".join, merges) if token not in tokens]
    return {token: number for number, token in enumerate(tokens)}, merges


def _byte_level(first, words, steps, normalizer=None, behind=(), **model):
    """A byte-level BPE; `first` stand in its vocabulary, `behind` are added to it, as special."""
    vocab, merges = _merged(words, [*first, *sorted(pre.ByteLevel.alphabet())], "Ġ")
    tokenizer = Tokenizer(models.BPE(vocab, merges, **model))
    tokenizer.normalizer, tokenizer.decoder = normalizer, decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in (*first, *behind)])
    return tokenizer


def _split(digits):
    pattern = Regex(WORD_PATTERN.format(digits=digits))
    return [pre.Split(pattern, "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]


def smollm2(words=WORDS) -> tuple[Tokenizer, dict]:
    """Returns SmolLM2-Instruct's make: no token in front, pad is the end of a turn."""
    steps = [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]
    settings = {
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>",
    }  # fmt: skip
    return _byte_level(CHATML, words, steps), settings


def llama3(words=WORDS) -> tuple[Tokenizer, dict]:
    """Returns Llama 3's make: a token in front, no pad token, special tokens behind the words."""
    tokenizer = _byte_level((), words, _split("{1,3}"), behind=LLAMA3, ignore_merges=True)
    tokenizer.post_processor = _begun(tokenizer, LLAMA3[0])
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": LLAMA3[0],
        "eos_token": "<|eot_id|>",
    }  # fmt: skip
    return tokenizer, settings


def qwen(words=WORDS) -> tuple[Tokenizer, dict]:
    """Returns Qwen's make: no token in front, no bos, `<think>` added but not special."""
    tokenizer = _byte_level((), words, _split(""), normalizers.NFC(), behind=CHATML)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    settings = {
        "tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "add_prefix_space": False,
    }  # fmt: skip
    return tokenizer, settings


def gemma(words=WORDS) -> tuple[Tokenizer, dict]:
    """Returns Gemma 3's make, with the token of its 1B that stands behind the vocabulary."""
    tokenizer = _sentence_pieces(GEMMA, words)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False)])
    tokenizer.post_processor = _begun(tokenizer, "<bos>")
    tokenizer.add_special_tokens([AddedToken("<image_soft_token>", normalized=False)])
    settings = {
        "tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False,
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    return tokenizer, settings


def tinyllama(words=WORDS) -> tuple[Tokenizer, dict]:
    """Returns Llama 2's make: ▁ is put in front of a text; pad is the end of it."""
    tokenizer = _sentence_pieces(("<unk>", "<s>", "</s>"), words)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.post_processor = _begun(tokenizer, "<s>")
    settings = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>",
        "legacy": False,
    }  # fmt: skip
    return tokenizer, settings


def _sentence_pieces(first, words):
    """A BPE over characters, with a token for each byte of what it has no character for."""
    letters = sorted(set("".join(words)) - {" "} | set("abcdefghijklmnopqrstuvwxyz.,?\"'<>|_▁"))
    octets = [f"<0x{number:02X}>" for number in range(256)]
    extra = ("\n\n",) if "<bos>" in first else ()
    vocab, merges = _merged(words, [*first, *octets, *extra, *letters], "▁")
    model = models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in first])
    return tokenizer


def _begun(tokenizer, bos):
    return TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )


# Name of a make -> (model_type, what makes it, how many of its tokens have a row).
MAKES = {
    "smollm2": ("llama", smollm2), "llama3": ("llama", llama3), "qwen": ("qwen3", qwen),
    "gemma": ("gemma3_text", gemma), "tinyllama": ("llama", tinyllama),
}  # fmt: skip


def rows_of(make: str, words=WORDS) -> int:
    """Returns how many rows a model's table has for a make: one short for Gemma's last token."""
    return MAKES[make][1](words)[0].get_vocab_size() - (make == "gemma")


def write_make(folder: Path, make: str, words=WORDS, **settings) -> Path:
    """Writes tokenizer.json, tokenizer_config.json and a config.json of a make."""
    folder.mkdir(parents=True, exist_ok=True)
    model_type, build = MAKES[make]
    tokenizer, usual = build(words)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    values = {name: v for name, v in (usual | settings).items() if v != "absent"}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    config = {"model_type": model_type, "vocab_size": rows_of(make, words)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
