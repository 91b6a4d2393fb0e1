"""Sources without weights: config.json and tokenizer files, as odd as people bring them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from tokenizer_files import gpt2_class, roberta_class

HEADS = {"roberta": "RobertaForMaskedLM", "opt": "OPTForCausalLM"}

ABSENT = object()
TOKENIZER = gpt2_class(add_bos_token=True, add_prefix_space=False, errors="replace")
ADDED = {"content": "</s>", "lstrip": False, "normalized": True, "rstrip": False,
         "single_word": False}  # fmt: skip
# Name -> {file: contents} beside vocab.json and merges.txt; "saved" lets transformers save them.
OPT_TOKENIZERS = {
    "a vocabulary alone": {},
    "published": {"tokenizer_config.json": TOKENIZER},
    "no bos": {"tokenizer_config.json": TOKENIZER | {"add_bos_token": False}},
    "bos not said": {
        "tokenizer_config.json": gpt2_class(add_prefix_space=False, errors="replace")
    },
    "bos of fairseq": {"tokenizer_config.json": TOKENIZER | {"bos_token": "<s>"}},
    "tokens in a map": {
        "tokenizer_config.json": {"add_bos_token": True, "bos_token": "<s>"},
        "special_tokens_map.json": {"bos_token": "</s>", "pad_token": ADDED | {"content": "<pad>"}},
    },
    "tokens as objects": {"tokenizer_config.json": TOKENIZER | {
        "bos_token": ADDED | {"__type": "AddedToken"}}},
    "a length": {"tokenizer_config.json": TOKENIZER | {"model_max_length": 38}},
    "a side": {"tokenizer_config.json": TOKENIZER | {"truncation_side": "left",
                                                     "padding_side": "left"}},
    "saved by transformers": {"tokenizer_config.json": TOKENIZER, "saved": True},
    "a chat template": {
        "tokenizer_config.json": TOKENIZER | {"chat_template": "{{ messages[0].content }}"},
        "chat_template.jinja": "{{ messages[0].role }}: {{ messages[0].content }}",
    },
    "further chat templates": {
        "tokenizer_config.json": TOKENIZER,
        "chat_template.jinja": "{{ messages[0].content }}",
        "additional_chat_templates/tool.jinja": "{{ tools }}",
        "additional_chat_templates/rag-2.jinja": "{{ documents }}",
    },
    "generation": {"tokenizer_config.json": TOKENIZER,
                   "generation_config.json": {"max_new_tokens": 3, "eos_token_id": [2, 5]}},
}  # fmt: skip
ROBERTA = roberta_class(model_max_length=38)
ROBERTA_TOKENIZERS = {
    "a vocabulary alone": {},
    "a length": {"tokenizer_config.json": ROBERTA},
    "a space before": {"tokenizer_config.json": ROBERTA | {"add_prefix_space": True}},
    "added tokens": {"tokenizer_config.json": ROBERTA, "added_tokens.json": {"<extra>": 284}},
    "a mask with its space": {
        "tokenizer_config.json": ROBERTA,
        "special_tokens_map.json": {"mask_token": ADDED | {"content": "<mask>", "lstrip": True}},
    },
    "saved by transformers": {"tokenizer_config.json": ROBERTA, "saved": True},
}
TOKENIZERS = [("opt", name) for name in OPT_TOKENIZERS] + [
    ("roberta", name) for name in ROBERTA_TOKENIZERS
]


def config_of(architecture: str, changes: dict) -> dict:
    """Returns config.json of a tiny model, as transformers saves it, with some keys changed."""
    from transformers import OPTConfig, RobertaConfig

    kind, sizes = {
        "roberta": (RobertaConfig, tiny.CONFIG), "opt": (OPTConfig, tiny.OPT_CONFIG)
    }[architecture]  # fmt: skip
    values = json.loads(kind(vocab_size=284, **sizes).to_json_string(use_diff=False))
    values |= {"architectures": [HEADS[architecture]]} | changes
    return {key: value for key, value in values.items() if value is not ABSENT}


def tokenizer_source(folder: Path, architecture: str, name: str) -> Path:
    """Writes a folder with config.json and the tokenizer files of a case."""
    from transformers import AutoTokenizer

    files = {"opt": OPT_TOKENIZERS, "roberta": ROBERTA_TOKENIZERS}[architecture][name]
    folder.mkdir()
    size = tiny.write_tokenizer(folder)
    config = config_of(architecture, {"vocab_size": size + 1})
    for file, contents in ({"config.json": config} | files).items():
        if file != "saved":
            text = contents if isinstance(contents, str) else json.dumps(contents)
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
    if "saved" in files:
        saved = folder.with_name("saved")
        AutoTokenizer.from_pretrained(folder).save_pretrained(saved)
        shutil.copy(folder / "config.json", saved)
        return saved
    return folder


@pytest.fixture
def written(golden_bundle, tmp_path):
    """Writes a source's small files as `replay` does: (folder, architecture, …) -> folder."""
    from pocketllm.export.checkpoint.source_files import collect_files, files_of_folder
    from pocketllm.export.results.checkpoint import write_small_files

    def write(source: Path, architecture: str, dtype: str = "fp32", tied: bool = True) -> Path:
        files = collect_files(files_of_folder(source), "mine")
        config = golden_bundle.config | {"tie_word_embeddings": True}  # both architectures' default
        bundle = replace(golden_bundle, architecture=architecture, tied_decoder=tied, config=config)
        (tmp_path / "written").mkdir()
        write_small_files(tmp_path / "written", files, bundle, dtype)
        return tmp_path / "written"

    return write
