"""Special tokens that a text spells are text, those of the template are tokens: every make."""

import json

import pytest
from encoding import causal_format
from todays_tokenizers import MAKES
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.special_spellings import frame_of
from pocketllm.export.tasks.own_data import option_text_task
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.encode_causal import encode_all
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.reader import Example
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.tflite_models.presets import OPT_MICRO

OPT = OPT_MICRO / "tokenizer.json"

# Make -> a template that ends a turn, as people write it.
TURNS = {
    "smollm2": "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>It was",
    "llama3": "<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>It was",
    "qwen": "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>It was",
    "gemma": "<start_of_turn>user\n{text}<end_of_turn>\n<start_of_turn>It was",
    "tinyllama": "{text}</s>It was",
    "opt": "{text}</s>It was",
}
SPELLED = [
    "<pad>", "</s>", "<|im_end|>", "<eos>", "<mask>", "[SEP]", "<|eot_id|>", "<end_of_turn>", "<s>",
    "<unk>", "<bos>", "<|endoftext|>", "<|finetune_right_pad_id|>", "<image_soft_token>",
]  # fmt: skip
TEXTS = ["a film", "It was </s> great", *(f"a{token}\n{token} It {token}" for token in SPELLED)]


def tokenizer_of(make):
    return Tokenizer.from_file(str(OPT)) if make == "opt" else MAKES[make][1]()[0]


def format_of(make, task, tokens=256):
    tokenizer = tokenizer_of(make)
    front = frame_of(tokenizer)[0]
    bos = tokenizer.token_to_id(front[0]) if front else None
    scoring = scoring_of(task, tokenizer)
    special = SpecialTokens(bos=bos, eos=None, pad=0, mask=None)
    return RowFormat(task, tokenizer, special, scoring.kind, scoring.word_ids, tokens, 40)


def row_of(row_format, text):
    (example,) = encode_all([Example({"text": text}, 1, 2)], row_format, "f")
    return example.sequences[0].input_ids.tolist()


def specials(tokenizer):
    return {i: t.content for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", [*MAKES, "opt"])
def test_a_special_token_that_a_text_spells_is_text(make, text):
    row_format = format_of(make, option_text_task("{text} It was", "0:terrible,1:great"))
    tokenizer = tokenizer_of(make)
    values = json.loads(tokenizer.to_str())
    values["added_tokens"] = [token for token in values["added_tokens"] if not token["special"]]
    without = Tokenizer.from_str(json.dumps(values))

    row = row_of(row_format, text)

    bos = [] if row_format.special.bos is None else [row_format.special.bos]
    assert row == bos + without.encode(f"{text} It was", add_special_tokens=False).ids
    unknown = {tokenizer.token_to_id("<unk>")}  # it stands for letters that a make lacks
    assert not set(row[len(bos) :]) & set(specials(tokenizer)) - unknown


@pytest.mark.parametrize("make", TURNS)
def test_a_special_token_of_the_template_is_that_token_and_ids_are_the_tokenizers(make):
    row_format = format_of(make, option_text_task(TURNS[make], "0:terrible,1:great"))
    tokenizer = tokenizer_of(make)
    text = TURNS[make].replace("{text}", "a  film\n12")
    bos = [] if row_format.special.bos is None else [row_format.special.bos]
    expected = bos + tokenizer.encode(text, add_special_tokens=False).ids

    assert row_of(row_format, "a  film\n12") == expected
    assert set(expected) & set(specials(tokenizer)) - {row_format.special.bos}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("make", TURNS)
def test_no_text_ends_the_turn_that_the_template_ends(make, text):
    row_format = format_of(make, option_text_task(TURNS[make], "0:terrible,1:great"))
    tokenizer = tokenizer_of(make)
    known = set(specials(tokenizer)) - {tokenizer.token_to_id("<unk>")}
    plain, row = row_of(row_format, "a film"), row_of(row_format, text)

    def of_template(ids):
        return [number for number in ids if number in known]

    assert of_template(row) == of_template(plain)
    assert tokenizer.decode(row).split() == tokenizer.decode(row_of(row_format, text)).split()
    assert max(row) < tokenizer.get_vocab_size()


@pytest.mark.parametrize("make", ["llama3", "gemma", "tinyllama"])
def test_a_template_that_begins_with_bos_gets_no_second(make):
    tokenizer = tokenizer_of(make)
    (bos,) = frame_of(tokenizer)[0]
    bare = format_of(make, option_text_task("{text} It was", "0:terrible,1:great"))
    begun = format_of(make, option_text_task(bos + "{text} It was", "0:terrible,1:great"))

    assert row_of(begun, "a film").count(begun.special.bos) == 1
    if make != "tinyllama":  # whose ▁ stands in front of a first piece alone
        assert row_of(begun, "a film") == row_of(bare, "a film")


def test_a_mark_in_a_text_is_no_mark_and_a_longer_token_is_not_cut_into_a_shorter():
    tokenizer = tokenizer_of("smollm2")
    tokenizer.add_special_tokens(["<|im", "<|im_end|>s"])
    task = option_text_task("{text}<|im_end|>s<|im It was", "0:terrible,1:great")
    row_format = causal_format(task, tokenizer, "options", 64, 20)
    ids = [tokenizer.token_to_id(token) for token in ("<|im_end|>s", "<|im")]

    for text in ("a", "a\ufdd0<|im\ufdd1"):
        row = row_of(row_format, text)
        assert [number for number in row if number in ids] == ids


def test_errors_spell_the_words_as_the_task_does():
    task = TASKS["copa"]
    tokenizer = tokenizer_of("qwen")
    assert scoring_of(task, tokenizer).kind == "gold"
    words = option_text_task("{text}", "0:<|im_end|> a b,1:great")
    scoring = scoring_of(words, tokenizer)
    row_format = causal_format(words, tokenizer, scoring.kind, 16, 2)
    with pytest.raises(Exception, match=r"the option ' <\|im_end\|> a b' takes "):
        row_of(row_format, "a film")
