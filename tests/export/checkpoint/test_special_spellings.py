"""The tokens that frame and fill a row: those of AutoTokenizer, over many odd tokenizer files."""

import json
from dataclasses import asdict

import pytest
from tokenizer_files import CASES, FILES, gpt2_class, write_files

from pocketllm.export.checkpoint.source_files import collect_files, files_of_folder
from pocketllm.export.checkpoint.special_spellings import special_spellings
from pocketllm.export.checkpoint.tokenizer import FAIRSEQ_TOKENS, special_ids, tokenizer_for

pytestmark = pytest.mark.desktop


def ids_of(folder, model_type):
    """Returns {role: id} as an export takes them from a folder."""
    style = "masked" if model_type == "roberta" else "causal"
    tokenizer = tokenizer_for(folder, model_type=model_type)
    files = collect_files(files_of_folder(folder), "a test").files
    spelled = special_spellings(files, tokenizer, FAIRSEQ_TOKENS, style)
    return asdict(special_ids(tokenizer, spelled, style))


@pytest.mark.parametrize("model_type, name", CASES)
def test_a_row_is_framed_and_filled_as_auto_tokenizer_does(model_type, name, tmp_path):
    from transformers import AutoTokenizer

    folder = write_files(tmp_path, model_type, FILES[model_type][name])
    theirs = AutoTokenizer.from_pretrained(folder)
    whole, bare = theirs.encode("a"), theirs.encode("a", add_special_tokens=False)

    ours = ids_of(folder, model_type)

    front, back = whole[: whole.index(bare[0])], whole[whole.index(bare[-1]) + 1 :]
    if model_type == "opt":
        assert ours["bos"] == next(iter(front), None)
        named = theirs.eos_token_id if theirs.eos_token in theirs.get_vocab() else None
        assert named is None or ours["eos"] in (named, 2)
    else:
        assert [ours["bos"], ours["eos"]] == [[*front, 0][0], [2, *back][-1]]
        assert ours["mask"] == (283 if theirs.mask_token_id is None else theirs.mask_token_id)
    assert ours["pad"] == (1 if theirs.pad_token_id is None else theirs.pad_token_id)


def test_a_causal_vocabulary_without_a_pad_token_is_filled_with_the_last(tmp_path):
    settings = gpt2_class(pad_token=None, add_bos_token=True)
    folder = write_files(tmp_path, "opt", {"tokenizer_config": settings})
    vocab = json.loads((folder / "vocab.json").read_text())
    vocab["nothing"] = vocab.pop("<pad>")
    (folder / "vocab.json").write_text(json.dumps(vocab))
    assert ids_of(folder, "opt") == {"bos": 2, "eos": 2, "pad": 2, "mask": None}
