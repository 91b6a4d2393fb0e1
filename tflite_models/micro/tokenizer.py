"""A byte-level BPE tokenizer in RoBERTa's layout, trained on a small corpus."""

import json
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

BOS, PAD, EOS, UNK, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
BOS_ID, PAD_ID, EOS_ID = 0, 1, 2


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Trains a tokenizer with RoBERTa's special tokens at RoBERTa's places.

    Args:
      texts: the corpus, one string at a time.
      vocab_size: number of ids, `<mask>` included, which is the last one.

    Returns:
      A tokenizer that adds no space before a text, like RoBERTa's.
    """
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        special_tokens=[BOS, PAD, EOS, UNK],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab = model["vocab"] | {MASK: len(model["vocab"])}
    return roberta_tokenizer(vocab, [tuple(pair) for pair in model["merges"]])


def roberta_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    """Puts RoBERTa's pre-tokenizer, post-processor and special tokens around a BPE vocabulary."""
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (EOS, vocab[EOS]), (BOS, vocab[BOS]), trim_offsets=True, add_prefix_space=False
    )
    plain = [tokenizers.AddedToken(token, normalized=True) for token in (BOS, PAD, EOS, UNK)]
    tokenizer.add_special_tokens([*plain, tokenizers.AddedToken(MASK, lstrip=True)])
    return tokenizer


def single_token_id(tokenizer: tokenizers.Tokenizer, text: str) -> int:
    """Returns the id of a text that must be one token, else raises ValueError."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    if len(encoding.ids) != 1:
        raise ValueError(f"{text!r} is {len(encoding.ids)} tokens {encoding.tokens}; expected 1")
    return encoding.ids[0]


def piece(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    """Returns the ids of a text without special tokens."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def roberta_tokenizer_files(tokenizer: tokenizers.Tokenizer, max_tokens: int) -> dict[str, str]:
    """Returns {name: text} of the five tokenizer files of a RoBERTa checkpoint.

    Args:
      tokenizer: from `train_tokenizer`.
      max_tokens: the longest input of the model, in tokens.
    """
    names = {
        "bos_token": BOS, "cls_token": BOS, "eos_token": EOS, "sep_token": EOS,
        "pad_token": PAD, "unk_token": UNK,
    }  # fmt: skip
    mask = {"content": MASK, "lstrip": True, "normalized": False, "rstrip": False,
            "single_word": False}  # fmt: skip
    config = names | {
        "mask_token": MASK,
        "add_prefix_space": False,
        "trim_offsets": True,
        "errors": "replace",
        "model_max_length": max_tokens,
        "tokenizer_class": "RobertaTokenizer",
    }
    return tokenizer_files(tokenizer, config, names | {"mask_token": mask})


def opt_tokenizer_files(tokenizer: tokenizers.Tokenizer, max_tokens: int) -> dict[str, str]:
    """Returns {name: text} of the five tokenizer files of an OPT checkpoint.

    The vocabulary is the one given, `<mask>` included; only `<s>` is put around a text.

    Args:
      tokenizer: from `train_tokenizer`.
      max_tokens: the longest input of the model, in tokens.
    """
    opt = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    opt.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1", special_tokens=[(BOS, BOS_ID)]
    )
    names = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "unk_token": UNK}
    config = names | {
        "add_bos_token": True,
        "add_prefix_space": False,
        "errors": "replace",
        "model_max_length": max_tokens,
        "tokenizer_class": "GPT2Tokenizer",
    }
    return tokenizer_files(opt, config, names)


def tokenizer_files(
    tokenizer: tokenizers.Tokenizer, config: dict, special_tokens: dict
) -> dict[str, str]:
    """Returns {name: text} of the five files; `config` and `special_tokens` as the model's."""
    text = tokenizer.to_str(pretty=True)
    model = json.loads(text)["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return {
        "tokenizer.json": text,
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + merges,
        "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        "special_tokens_map.json": json.dumps(special_tokens, indent=2) + "\n",
    }
