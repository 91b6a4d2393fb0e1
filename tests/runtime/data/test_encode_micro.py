"""roberta-micro's own tokenizer: the ids of transformers on every held-out sentence."""

import json

import pytest
from encoding import masked_format

from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.runtime.data.encode_masked import encode_all
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.tasks.masked import TASKS
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop

MASK = 5999


@pytest.fixture(scope="module")
def theirs():
    from transformers import RobertaTokenizerFast

    return RobertaTokenizerFast.from_pretrained(MICRO)


@pytest.fixture(scope="module")
def examples():
    return read_examples(MICRO / "sst2_heldout.tsv", TASKS["sst2"])[0]


@pytest.mark.parametrize("reader", ["the exporter's", "the runtime's"])
def test_every_held_out_prompt_has_the_ids_of_transformers(reader, theirs, examples):
    def ids(text):
        return theirs.encode(text, add_special_tokens=False)

    runtimes = load_tokenizer(MICRO / "tokenizer.json")
    tokenizer = tokenizer_for(MICRO) if reader == "the exporter's" else runtimes
    encoded = encode_all(examples, masked_format(TASKS["sst2"], tokenizer), "f")

    assert len(encoded) == 872
    for ours, example in zip(encoded, examples):
        expected = [0, *ids(example.fields["sentence"]), *ids(" It was"), MASK, *ids("."), 2]
        (sequence,) = ours.sequences
        assert sequence.input_ids.tolist() == expected
        assert sequence.target == {"mask_position": expected.index(MASK)}
        assert not ours.truncated


def test_every_sentence_on_its_own_is_tokenised_as_by_transformers(theirs, examples):
    ours = tokenizer_for(MICRO)
    odd = [
        "a </s> b",
        "a <mask> b",
        "<s>",
        "x<pad><unk>",
        "naïve café 🙂 \u2028",
        "",
        "  two  spaces ",
    ]

    for text in [*(example.fields["sentence"] for example in examples), *odd]:
        expected = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text, add_special_tokens=False).ids == expected


def test_tokenizer_json_spells_the_same_vocabulary_as_vocab_json_and_merges_txt():
    model = json.loads((MICRO / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = (MICRO / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]

    assert model["vocab"] == json.loads((MICRO / "vocab.json").read_text(encoding="utf-8"))
    assert [" ".join(pair) for pair in model["merges"]] == merges
