"""Tokenizers of today's models: AutoTokenizer's ids, what begins and fills a row, label words."""

import json

import pytest
import todays_tokenizers
from opt_reference import EXCERPTS
from todays_tokenizers import LLAMA3, MAKES, WORDS, rows_of, write_make
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.special_spellings import left_out_remarks, special_spellings
from pocketllm.export.checkpoint.tokenizer import NO_TOKENS, read_tokenizer, special_ids
from pocketllm.export.tasks.own_data import option_text_task
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.encode_causal import encode_all
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS

pytestmark = pytest.mark.desktop

TEXTS = [
    "a film", " It was great", "  two  spaces ", "\n\na\n\n\nb", "12345 3.14 a1b2", "naïve 你好 😀",
    "e\u0301 é", "def f(x):\n    return x", "don't It's", "<think>a</think>", "", "<0x41>", "▁a _",
]  # fmt: skip
SPECIAL_TEXTS = ["a</s> b", "<|im_end|>x", "<bos><eos> <pad>", "<|eot_id|>", "<image_soft_token>"]


def read(folder, make):
    return read_tokenizer(folder, NO_TOKENS, MAKES[make][0], rows_of(make))


def ids_of(source):
    spelled = special_spellings(source, NO_TOKENS, "causal")
    ids = special_ids(source.tokenizer, spelled, "causal")
    tokenizer = source.tokenizer
    return {
        role: None if number is None else tokenizer.id_to_token(number)
        for role, number in vars(ids).items()
    }


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"add_bos_token": True},
        {"add_bos_token": False},
        {"add_eos_token": True, "add_bos_token": True},
        {"add_bos_token": "absent", "add_eos_token": "absent"},
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"tokenizer_class": "absent"},
        {"legacy": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", MAKES)
def test_ids_and_the_first_token_are_those_of_auto_tokenizer(make, settings, tmp_path):
    from transformers import AutoTokenizer

    folder = write_make(tmp_path / "m", make, **settings)
    theirs, source = AutoTokenizer.from_pretrained(folder), read(folder, make)

    for text in TEXTS:
        assert source.tokenizer.encode(text).ids == theirs(text).input_ids, text
    for text in SPECIAL_TEXTS:
        if "<image_soft_token>" not in text:
            assert source.tokenizer.encode(text).ids == theirs(text).input_ids, text
    ids = theirs("film").input_ids
    begun = ids[0] == theirs.bos_token_id and ids[0] is not None
    assert ids_of(source)["bos"] == (theirs.bos_token if begun else None)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ("smollm2", {"bos": None, "eos": "<|im_end|>", "pad": "<|im_end|>"}),
        ("llama3", {"bos": LLAMA3[0], "eos": "<|eot_id|>", "pad": "<|finetune_right_pad_id|>"}),
        ("qwen", {"bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>"}),
        ("gemma", {"bos": "<bos>", "eos": "<eos>", "pad": "<pad>"}),
        ("tinyllama", {"bos": "<s>", "eos": "</s>", "pad": "</s>"}),
    ],
)
def test_what_begins_and_fills_a_row(make, expected, tmp_path):
    assert ids_of(read(write_make(tmp_path / "m", make), make)) == expected | {"mask": None}


def test_a_row_is_filled_with_any_token_where_no_file_names_one(tmp_path):
    none = {"eos_token": None, "pad_token": None, "unk_token": None, "bos_token": None}
    plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for make in ("smollm2", "qwen"):
        source = read(write_make(tmp_path / make, make, **none, **plain), make)
        ids = ids_of(source)
        assert ids["eos"] is ids["bos"] is None and ids["pad"] == source.tokenizer.id_to_token(0)
    ended = none | {"eos_token": "<|im_end|>"}
    source = read(write_make(tmp_path / "ended", "qwen", **ended, **plain), "qwen")
    assert ids_of(source)["pad"] == "<|im_end|>"


def test_a_special_token_without_a_row_is_left_out_and_a_task_cannot_spell_it(tmp_path):
    folder = write_make(tmp_path / "m", "gemma")
    source = read(folder, "gemma")

    assert source.left_out == ("<image_soft_token>",)
    assert source.tokenizer.token_to_id("<image_soft_token>") is None
    assert max(source.tokenizer.get_vocab().values()) == rows_of("gemma") - 1
    remarks = left_out_remarks(source, option_text_task("{text} It was", "0:terrible,1:great"))
    assert len(remarks) == 1 and remarks[0].startswith("without <image_soft_token>: ")
    spelling = option_text_task("<image_soft_token>{text} It was", "0:terrible,1:great")
    with pytest.raises(InputError, match="--prompt: spells <image_soft_token>, a token that the"):
        left_out_remarks(source, spelling)
    resized = read_tokenizer(folder, NO_TOKENS, "gemma3_text", rows_of("gemma") + 1)
    assert resized.left_out == () and resized.tokenizer.token_to_id("<image_soft_token>")
    assert left_out_remarks(resized, spelling) == []


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("name", TASKS)
def test_label_words_of_one_token_are_found_as_they_stand_in_a_whole_prompt(name, make, tmp_path):
    task, tokenizer = TASKS[name], read(write_make(tmp_path / "m", make), make).tokenizer
    scoring = scoring_of(task, tokenizer)
    bos = SpecialTokens(bos=None, eos=None, pad=0, mask=None)
    row_format = RowFormat(task, tokenizer, bos, scoring.kind, scoring.word_ids, 20_000, 2_000)
    path = EXCERPTS / ("sst2.tsv" if name == "sst2" else f"{name}.jsonl")
    examples, _ = read_examples(path, task)

    rows = encode_all(examples, row_format, path)

    assert len(rows) == len(examples)
    if task.words:
        assert scoring.kind == "words"
        marker = "▁" if make in ("gemma", "tinyllama") else "Ġ"
        tokens = [tokenizer.id_to_token(number) for number in scoring.word_ids]
        assert tokens == [word.replace(" ", marker) for word in task.words]
    else:
        assert scoring.kind == "gold"


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("prompt", ["{text}", "{text}:", "{text} ", "{text}\\n", '"{text}" It was'])
def test_a_words_tokens_are_those_behind_any_prompt(prompt, make, tmp_path):
    task = option_text_task(prompt, "0:terrible,1:great")
    words = WORDS if "\\n" not in prompt else (*WORDS, "terrible", "great")
    tokenizer = MAKES[make][1](words)[0]
    scoring = scoring_of(task, tokenizer)
    whole = prompt.replace("{text}", "It was a film").replace("\\n", "\n").rstrip(" ")

    assert scoring.kind == "words"
    for word, number in zip(task.words, scoring.word_ids):
        assert tokenizer.encode(whole + word, add_special_tokens=False).ids[-1] == number


@pytest.mark.parametrize("make", MAKES)
def test_numbers_that_are_cut_into_digits_are_scored_as_options(make):
    tokenizer = MAKES[make][1]()[0]
    scoring = scoring_of(option_text_task("{text} Stars:", "0:12,1:7"), tokenizer)
    whole = [
        len(tokenizer.encode(f"It Stars: {n}", add_special_tokens=False).ids) for n in ("12", "7")
    ]
    before = len(tokenizer.encode("It Stars:", add_special_tokens=False).ids)

    assert (scoring.kind, scoring.word_ids) == ("options", ())
    assert scoring.option_tokens == max(whole) - before


def test_the_published_makes_differ_in_what_they_put_in_front_and_between(tmp_path):
    read_back = {
        make: Tokenizer.from_str(build()[0].to_str()) for make, (_, build) in MAKES.items()
    }
    pieces = {
        make: t.encode("It 12", add_special_tokens=False).tokens for make, t in read_back.items()
    }
    assert len({json.dumps(value) for value in pieces.values()}) > 2
    assert todays_tokenizers.rows_of("gemma") < read_back["gemma"].get_vocab_size()


FOREIGN = {
    "tokenizer.model": [
        (b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", "a vocabulary of sentencepiece, without a tok"),
        (
            b"IQ== 0\nIg== 1\n",
            "a vocabulary of tiktoken, without a tokenizer.json beside it; run `p",
        ),
    ],
    "tekken.json": [
        (b"{}", r"not found \(found tekken.json, which is no tokenizer of transformer")
    ],
    "qwen.tiktoken": [(b"IQ== 0\n", r"not found \(found qwen.tiktoken, which is no tokenizer of")],
}


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [(name, data, problem) for name, cases in FOREIGN.items() for data, problem in cases],
)
def test_vocabularies_of_other_libraries_are_named(name, data, problem, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "vocab_size": 300}')
    (tmp_path / name).write_bytes(data)

    with pytest.raises(InputError, match=problem) as error:
        read_tokenizer(tmp_path, NO_TOKENS, "llama", 300)

    assert "\n" not in str(error.value) and "copy" in str(error.value)


def test_ordinary_tokens_behind_the_models_rows_are_refused(tmp_path):
    """Qwen's `<think>` in a model that has no row for it: a text that spells it could not run."""
    folder = write_make(tmp_path / "m", "qwen")
    rows = rows_of("qwen") - 1
    source = read_tokenizer(folder, NO_TOKENS, "qwen3", rows)

    assert source.left_out == () and source.tokenizer.token_to_id("<think>") == rows
