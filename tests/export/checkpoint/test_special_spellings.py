"""The tokens that frame and fill a row: those of AutoTokenizer, over many odd tokenizer files."""

import json
from dataclasses import asdict

import pytest
from tokenizer_files import CASES, FILES, LAST, gpt2_class, write_files
from tokenizers import Tokenizer, models, processors

from pocketllm.export.checkpoint.special_spellings import frame_remarks, special_spellings
from pocketllm.export.checkpoint.tokenizer import FAIRSEQ_TOKENS, read_tokenizer, special_ids
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop


def ids_of(folder, model_type):
    """Returns {role: id} as an export takes them from a folder."""
    style = "masked" if model_type == "roberta" else "causal"
    read = read_tokenizer(folder, FAIRSEQ_TOKENS, model_type)
    spelled = special_spellings(read, FAIRSEQ_TOKENS, style)
    return asdict(special_ids(read.tokenizer, spelled, style))


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
        assert ours["eos"] == theirs.eos_token_id
    else:
        assert [ours["bos"], ours["eos"]] == [next(iter(front), None), next(iter(back), None)]
        assert len(front) <= 1 and len(back) <= 1
        assert ours["mask"] == (LAST if theirs.mask_token_id is None else theirs.mask_token_id)
    assert ours["pad"] == (1 if theirs.pad_token_id is None else theirs.pad_token_id)


def test_a_causal_vocabulary_without_a_pad_token_is_filled_with_the_last(tmp_path):
    settings = gpt2_class(pad_token=None, add_bos_token=True)
    folder = write_files(tmp_path, "opt", {"tokenizer_config": settings})
    vocab = json.loads((folder / "vocab.json").read_text())
    vocab["nothing"] = vocab.pop("<pad>")
    (folder / "vocab.json").write_text(json.dumps(vocab))
    assert ids_of(folder, "opt") == {"bos": 2, "eos": 2, "pad": 2, "mask": None}


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "great", "it", "was", ".", "a"]


@pytest.mark.parametrize("further", [[], ["<s>", "</s>", "<mask>", "<pad>"]])
@pytest.mark.parametrize("settings", [{}, {"bos_token": "[CLS]", "eos_token": "[SEP]"}])
def test_a_roberta_with_berts_tokenizer_has_berts_tokens(further, settings, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS, *further]) + "\n")
    settings = settings | {"tokenizer_class": "BertTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert ids_of(tmp_path, "roberta") == {"bos": 2, "eos": 3, "pad": 0, "mask": 4}


FRAMES = {
    "$A": {"bos": None, "eos": None},
    "$A </s>": {"bos": None, "eos": 2},
    "<s> $A": {"bos": 0, "eos": None},
    "<s> $A </s>": {"bos": 0, "eos": 2},
}


def letters_of_dna(folder, frame):
    """Writes a tokenizer.json without the letters of English, and with this frame."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    ids = {token: number for number, token in enumerate([*names, "A", "C", "G", "T"])}
    tokenizer = Tokenizer(models.BPE(ids, []))
    tokenizer.add_special_tokens(names)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[(name, ids[name]) for name in names]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "<mask>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": "<pad>"}))


@pytest.mark.parametrize("frame", FRAMES)
def test_a_masked_row_is_framed_as_the_post_processor_says(frame, tmp_path):
    letters_of_dna(tmp_path, frame)
    assert ids_of(tmp_path, "roberta") == FRAMES[frame] | {"pad": 1, "mask": 4}
    assert ids_of(tmp_path, "opt")["bos"] == FRAMES[frame]["bos"]
    spelled = special_spellings(
        read_tokenizer(tmp_path, FAIRSEQ_TOKENS, "roberta"), FAIRSEQ_TOKENS, "masked"
    )
    sides = {"in front": FRAMES[frame]["bos"], "behind": FRAMES[frame]["eos"]}
    ends = [side for side, token in sides.items() if token is None]
    remarks = frame_remarks(spelled, "masked")
    assert len(remarks) == bool(ends) and all(" and ".join(ends) in line for line in remarks)


@pytest.mark.parametrize("frame", ["<s> <unk> $A", "<s> $A </s> </s>"])
def test_a_masked_row_with_two_tokens_at_an_end_is_refused(frame, tmp_path):
    letters_of_dna(tmp_path, frame)
    with pytest.raises(InputError, match="(in front of|behind) a text, expected one special token"):
        ids_of(tmp_path, "roberta")
