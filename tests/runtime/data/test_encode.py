"""Prompts as token ids: the reference's order, transformers' ids, truncation, tokenizer files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoding import masked_format, special_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.tokenizer import save_tokenizer, tokenizer_for
from pocketllm.export.tasks.own_data import text_task
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.encode_masked import encode, encode_all
from pocketllm.runtime.data.reader import Example, read_examples
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.masked import TASKS

ROOT = Path(__file__).resolve().parents[3]
TOKENIZER = ROOT / "tflite_models" / "roberta_tokenizer"
HELD_OUT = ROOT / "tflite_models" / "roberta_micro" / "sst2_heldout.tsv"
GOLDEN = ROOT / "tests" / "golden" / "sst2_token_ids.npz"
MASK = 50264
SPECIAL = SpecialTokens(bos=0, eos=2, pad=1, mask=MASK)
PAIR = {"premise": " a" * 300 + ".", "hypothesis": "x" + " x" * 20}
A, X = 10, 3023  # " a" and " x": fields of as many tokens as letters
SPELLS_SPECIAL_TOKENS = ["a </s> b", "a <mask> b", "<s>", "x<pad><unk>", "<MASK> < mask>", "</s>"]

# Per task: the example, the pieces as the reference joins them (None for the mask), the ids.
REFERENCE = {
    "sst2": (
        {"sentence": "a gripping film . "},  # SST-2 rows end in a space: a token, 1437
        ["a gripping film . ", " It was", None, "."],
        [0, 102, 30742, 822, 479, 1437, 85, 21, MASK, 4, 2],
    ),
    "sst5": (
        {"sentence": "Good fun"},
        ["Good fun", " It was", None, "."],
        [0, 12350, 1531, 85, 21, MASK, 4, 2],
    ),
    "snli": (
        {"premise": "A man sleeps.", "hypothesis": "He is awake."},
        ["A man sleeps", "?", None, ",", " he is awake."],
        [0, 250, 313, 36831, 116, MASK, 6, 37, 16, 24628, 4, 2],
    ),
    "mnli": (
        {"premise": "It rained all day!", "hypothesis": "The sun shone"},
        ["It rained all day", "?", None, ",", " the sun shone"],
        [0, 243, 910, 7153, 70, 183, 116, MASK, 6, 5, 3778, 32554, 2],
    ),
    "rte": (
        {"premise": "Rome is in Italy.", "hypothesis": "Italy has Rome."},
        ["Rome is in Italy", "?", None, ",", " italy has Rome."],
        [0, 500, 4399, 16, 11, 2627, 116, MASK, 6, 24, 7776, 34, 8947, 4, 2],
    ),
    "trec": (
        {"text": "What is an atom ?"},
        [None, ":", " What is an atom ?"],
        [0, MASK, 35, 653, 16, 41, 37113, 17487, 2],
    ),
}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_for(TOKENIZER)


def transformers_ids():
    from transformers import RobertaTokenizerFast

    theirs = RobertaTokenizerFast.from_pretrained(TOKENIZER)
    return lambda text: theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("name", REFERENCE)
def test_each_task_has_the_token_order_of_the_reference(name, tokenizer):
    fields, _, expected = REFERENCE[name]

    actual = encode(Example(fields, 1, 2), masked_format(TASKS[name], tokenizer))

    assert actual.input_ids.tolist() == expected
    assert actual.input_ids.dtype == np.int32
    assert actual.target == {"mask_position": expected.index(MASK)}
    assert not actual.truncated


@pytest.mark.desktop
@pytest.mark.parametrize("name", REFERENCE)
def test_the_literal_ids_of_each_task_are_those_of_transformers(name):
    ids = transformers_ids()
    _, pieces, expected = REFERENCE[name]

    joined = [i for piece in pieces for i in ([MASK] if piece is None else ids(piece))]

    assert [0, *joined, 2] == expected


def test_every_held_out_sentence_has_the_golden_ids_of_transformers(tokenizer):
    golden = np.load(GOLDEN)
    rows = np.split(golden["ids"].astype(np.int32), np.cumsum(golden["lengths"].astype(int))[:-1])
    examples, _ = read_examples(HELD_OUT, TASKS["sst2"])

    encoded = encode_all(examples, masked_format(TASKS["sst2"], tokenizer), HELD_OUT)

    assert len(encoded) == len(rows) == 872
    assert not any(example.truncated for example in encoded)
    for ours, row, example in zip(encoded, rows, examples):
        (sequence,) = ours.sequences
        assert sequence.input_ids.tolist() == row.tolist()
        assert sequence.target == {"mask_position": row.tolist().index(MASK)}
        assert ours.golds == (example.label,)


@pytest.mark.desktop
def test_every_piece_of_the_held_out_data_is_tokenised_as_by_transformers(tokenizer):
    ids = transformers_ids()
    sentences = [
        example.fields["sentence"] for example in read_examples(HELD_OUT, TASKS["sst2"])[0]
    ]

    for text in [*sentences, *SPELLS_SPECIAL_TOKENS]:
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids(text)


@pytest.mark.desktop
def test_the_tokenizer_built_from_two_files_is_the_one_transformers_builds(tokenizer):
    from transformers import RobertaTokenizerFast

    theirs = RobertaTokenizerFast.from_pretrained(TOKENIZER).backend_tokenizer

    assert json.loads(tokenizer.to_str()) == json.loads(theirs.to_str())


@pytest.mark.parametrize("text", SPELLS_SPECIAL_TOKENS)
def test_a_special_token_that_a_text_spells_is_text(text, tokenizer):
    without = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"added_tokens": []}))
    ids = without.encode(text, add_special_tokens=False).ids

    actual = encode(Example({"sentence": text}, 0, 2), masked_format(TASKS["sst2"], tokenizer))

    assert not {0, 1, 2, 3, MASK} & set(ids)
    assert actual.input_ids.tolist() == [0, *ids, 85, 21, MASK, 4, 2]
    assert actual.target["mask_position"] == len(ids) + 3


def test_a_special_token_in_the_template_is_that_token(tokenizer):
    task = text_task("{text}</s></s>It was{mask}.", "0:terrible,1:great")

    actual = encode(Example({"text": "a</s>"}, 0, 2), masked_format(task, tokenizer))

    assert actual.input_ids.tolist()[:2] == [0, 102]
    assert actual.input_ids.tolist().count(2) == 3
    assert actual.input_ids.tolist()[-7:] == [2, 2, 243, 21, MASK, 4, 2]


@pytest.mark.parametrize(
    ("name", "fields", "max_length", "expected"),
    [
        # 123 + <s> It was <mask> = 127 tokens: "." and </s> compete for the last place.
        ("sst2", {"sentence": " a" * 123}, 128, [0] + [A] * 123 + [85, 21, MASK, 4]),
        # The mask is the last token that fits: the reference keeps this, so do we.
        ("sst2", {"sentence": " a" * 124}, 128, [0] + [A] * 124 + [85, 21, MASK]),
        # One more and the reference stops; here the sentence makes room for all that follows.
        ("sst2", {"sentence": " a" * 125}, 128, [0] + [A] * 122 + [85, 21, MASK, 4, 2]),
        ("sst5", {"sentence": " a" * 111}, 128, [0] + [A] * 110 + [85, 21, MASK, 4, 2]),
        ("sst5", {"sentence": " a" * 50}, 32, [0] + [A] * 16 + [85, 21, MASK, 4, 2]),
        ("trec", {"text": "a" + " a" * 120}, 128, [0, MASK, 35] + [A] * 110 + [2]),
        ("mnli", PAIR, 256, [0] + [A] * 240 + [116, MASK, 6] + [X] * 12),
        ("snli", {"premise": " a" * 9, "hypothesis": "x x"}, 9, [0, A, A, 116, MASK, 6, X, X, 2]),
        ("snli", {"premise": " a" * 9, "hypothesis": ""}, 8, [0, A, A, 116, MASK, 6, 1437, 2]),
        ("snli", {"premise": " a" * 9, "hypothesis": "x x x x"}, 6, [0, 116, MASK, 6, X, X]),
    ],
)
def test_truncation_is_the_references_and_never_costs_the_mask(
    name, fields, max_length, expected, tokenizer
):
    actual = encode(Example(fields, 0, 2), masked_format(TASKS[name], tokenizer, max_length))

    assert actual.input_ids.tolist() == expected
    assert actual.target["mask_position"] == expected.index(MASK)
    assert actual.truncated


@pytest.mark.parametrize("bos, eos", [(None, 2), (0, None), (None, None)])
@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_a_row_without_a_token_at_an_end_is_that_much_shorter(bos, eos, count, tokenizer):
    framed = masked_format(TASKS["sst2"], tokenizer, 10)
    bare = replace(framed, special=replace(SPECIAL, bos=bos, eos=eos))
    front, back = ([] if token is None else [token] for token in (bos, eos))

    row = encode(Example({"sentence": " a" * count}, 0, 2), bare)

    kept = count if count + 3 + len(front) <= 10 else 10 - len(front) - 4 - len(back)
    expected = [*front, *[A] * kept, 85, 21, MASK, 4, *back][:10]
    assert row.input_ids.tolist() == expected
    assert row.target["mask_position"] == expected.index(MASK)
    assert row.truncated == (len(front) + count + 4 + len(back) > 10)


def test_encode_all_marks_the_truncated_and_keeps_the_order(tokenizer):
    examples = [Example({"sentence": " a" * n}, n % 2, n) for n in (3, 4, 5)]

    encoded = encode_all(examples, masked_format(TASKS["sst2"], tokenizer, 10), "f")

    assert [len(example.sequences[0].input_ids) for example in encoded] == [9, 10, 10]
    assert [example.golds for example in encoded] == [(1,), (0,), (1,)]
    assert [example.truncated for example in encoded] == [False, False, True]


def test_a_prompt_longer_than_the_bucket_is_an_input_error(tokenizer):
    task = text_task("a a a a{mask}{text}", "0:a,1:b")

    with pytest.raises(InputError, match="up to the mask takes 6 tokens, expected at most 5"):
        encode(Example({"text": "x"}, 0, 2), masked_format(task, tokenizer, 5))


TEXT = st.text(max_size=40) | st.lists(st.sampled_from(SPELLS_SPECIAL_TOKENS)).map("".join)
FIELDS = ("sentence", "text", "premise", "hypothesis")
TWO_BEFORE = text_task("{premise} and {hypothesis}: {mask} {sentence} {text}", "0:a,1:b")


@settings(deadline=None)
@given(
    task=st.sampled_from([*TASKS.values(), TWO_BEFORE]),
    fields=st.fixed_dictionaries(dict.fromkeys(FIELDS, TEXT)),
    max_length=st.integers(6, 64),
)
def test_the_mask_is_always_at_its_position_and_the_length_kept(
    task, fields, max_length, tokenizer
):
    actual = encode(Example(fields, 0, 2), masked_format(task, tokenizer, max_length))
    whole = encode(Example(fields, 0, 2), masked_format(task, tokenizer, 10_000))

    assert len(actual.input_ids) <= max_length
    assert actual.input_ids[0] == 0 and actual.input_ids[actual.target["mask_position"]] == MASK
    # The template's own mask, not one that a field spells: the same token follows as without a cut.
    after = [row.input_ids[row.target["mask_position"] + 1 :].tolist() for row in (actual, whole)]
    assert after[0][:1] in ([], after[1][:1])
    assert actual.truncated == (len(actual.input_ids) < len(whole.input_ids))


def test_a_tokenizer_is_loaded_without_padding_and_truncation(tokenizer, tmp_path):
    padded = tokenizer_for(TOKENIZER)
    padded.enable_padding(length=100)
    padded.enable_truncation(3)
    save_tokenizer(padded, tmp_path / "tokenizer.json")

    loaded = load_tokenizer(tmp_path / "tokenizer.json")

    assert loaded.to_str() == tokenizer.to_str()
    assert special_of(loaded) == SPECIAL


def test_unusable_tokenizer_files_are_named_in_one_line(tmp_path):
    with pytest.raises(InputError, match="none.json: not found, expected a tokenizer.json"):
        load_tokenizer(tmp_path / "none.json")
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\x00{")
    with pytest.raises(InputError, match="tokenizer.json: found no readable tokenizer") as error:
        load_tokenizer(tmp_path / "tokenizer.json")
    assert "\n" not in str(error.value)
