"""Tokenizer files that are odd in one way each, for AutoTokenizer and for us to read."""

import json
from pathlib import Path

import tiny

FAIRSEQ = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
OPTS = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
URL, LAST = "<url>", 283  # of the tiny vocabulary


def added(content, **flags):
    plain = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word", "special"), False)
    return plain | {"content": content} | flags


def roberta_class(**values):
    return {"tokenizer_class": "RobertaTokenizer", **values}


def gpt2_class(**values):
    return {"tokenizer_class": "GPT2Tokenizer", **OPTS, **values}


def without_unk(**values):
    settings = gpt2_class(**values)
    del settings["unk_token"]
    return settings


def decoder(*tokens):
    return {"added_tokens_decoder": {str(LAST + 1 + i): token for i, token in enumerate(tokens)}}


# Files beside vocab.json and merges.txt, by the name of what is odd about them.
ROBERTA = {
    "the class alone": {"tokenizer_config": roberta_class()},
    "its fast name": {"tokenizer_config": {"tokenizer_class": "RobertaTokenizerFast"}},
    "no class": {"tokenizer_config": {"model_max_length": 38}},
    "add_prefix_space": {"tokenizer_config": roberta_class(add_prefix_space=True)},
    "trim_offsets": {"tokenizer_config": roberta_class(trim_offsets=False)},
    "added_tokens.json": {"added_tokens": {URL: LAST + 1, "[E1]": LAST + 2}},
    "a token of the vocabulary, added": {"added_tokens": {"<mask>": LAST}},
    "added_tokens_decoder": {"tokenizer_config": roberta_class(**decoder(added(URL)))},
    "lstrip": {"tokenizer_config": roberta_class(**decoder(added(URL, lstrip=True)))},
    "rstrip": {"tokenizer_config": roberta_class(**decoder(added(URL, rstrip=True)))},
    "single_word": {"tokenizer_config": roberta_class(**decoder(added("url", single_word=True)))},
    "normalized": {"tokenizer_config": roberta_class(**decoder(added("URL", normalized=True)))},
    "special": {"tokenizer_config": roberta_class(**decoder(added(URL, special=True), added("é")))},
    "mask with lstrip": {
        "special_tokens_map": FAIRSEQ | {"mask_token": added("<mask>", lstrip=True)}
    },
    "additional_special_tokens": {
        "special_tokens_map": {"additional_special_tokens": ["[E1]", "[E2]"]}
    },
    "other special tokens": {"tokenizer_config": roberta_class(cls_token="<unk>", sep_token="<s>")},
    "split_special_tokens": {"tokenizer_config": roberta_class(split_special_tokens=True)},
    "another class": {"tokenizer_config": gpt2_class(add_bos_token=True)},
    "another class, no token in front": {"tokenizer_config": gpt2_class()},
    "another class, no unk": {"tokenizer_config": without_unk(additional_special_tokens=["[E1]"])},
    "other mask and pad": {"tokenizer_config": roberta_class(mask_token="[E1]", pad_token="<unk>")},
    "a token as an object": {
        "tokenizer_config": roberta_class(
            mask_token=added("<mask>", lstrip=True) | {"__type": "AddedToken"}
        )
    },
    "everything": {
        "tokenizer_config": roberta_class(add_prefix_space=True, model_max_length=5),
        "special_tokens_map": FAIRSEQ,
        "added_tokens": {URL: LAST + 1},
    },
}  # fmt: skip
OPT = {
    "as published": {"tokenizer_config": gpt2_class(add_bos_token=True, errors="replace")},
    "without add_bos_token": {"tokenizer_config": gpt2_class()},
    "add_bos_token false": {"tokenizer_config": gpt2_class(add_bos_token=False)},
    "add_eos_token": {"tokenizer_config": gpt2_class(add_eos_token=True)},
    "fairseq's tokens": {"tokenizer_config": gpt2_class(**FAIRSEQ, add_bos_token=True)},
    "tokens as objects": {
        "tokenizer_config": gpt2_class(
            bos_token=added("</s>", normalized=True) | {"__type": "AddedToken"}, add_bos_token=True
        )
    },
    "the map alone": {"special_tokens_map": OPTS},
    "map against config": {"tokenizer_config": gpt2_class(), "special_tokens_map": FAIRSEQ},
    "decoder and map": {
        "tokenizer_config": gpt2_class(**decoder(added(URL))), "special_tokens_map": FAIRSEQ
    },
    "add_prefix_space": {"tokenizer_config": gpt2_class(add_prefix_space=True)},
    "added_tokens.json": {"tokenizer_config": gpt2_class(), "added_tokens": {URL: LAST + 1}},
    "GPT-2's own token, added": {"added_tokens": {"<|endoftext|>": LAST + 1}},
    "its fast name": {"tokenizer_config": gpt2_class() | {"tokenizer_class": "GPT2TokenizerFast"}},
    "another class": {"tokenizer_config": roberta_class()},
    "no pad": {"tokenizer_config": gpt2_class(pad_token=None)},
    "no class": {"tokenizer_config": dict(OPTS)},
    "split_special_tokens": {"tokenizer_config": gpt2_class(split_special_tokens=True)},
    "lstrip": {"tokenizer_config": gpt2_class(**decoder(added(URL, lstrip=True)))},
    "special": {"tokenizer_config": gpt2_class(**decoder(added(URL, special=True)))},
    "extra_special_tokens": {"tokenizer_config": gpt2_class(extra_special_tokens=["[E1]"])},
    "no unk, one more": {"tokenizer_config": without_unk(additional_special_tokens=["[E1]"])},
    "no unk, extra": {"tokenizer_config": without_unk(extra_special_tokens={"image": "[E1]"})},
    "no unk, the map's": {
        "tokenizer_config": without_unk(),
        "special_tokens_map": {"additional_special_tokens": ["[E1]", "[E2]"]},
    },
    "no unk, another pad and mask": {
        "tokenizer_config": without_unk(pad_token="[E1]", mask_token="[E2]", add_bos_token=True)
    },
    "no unk, added": {"tokenizer_config": without_unk(), "added_tokens": {URL: LAST + 1}},
    "no token named": {
        "tokenizer_config": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True},
        "special_tokens_map": {"additional_special_tokens": ["[E1]"]},
    },
}  # fmt: skip
FILES = {"roberta": ROBERTA, "opt": OPT}
CASES = [(model_type, name) for model_type, files in FILES.items() for name in files]


def write_files(folder: Path, model_type: str, files: dict) -> Path:
    """Writes a small vocabulary, and JSON files beside it; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    assert tiny.write_tokenizer(folder) == LAST + 1
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder
