"""BERT's tokenizer: AutoTokenizer's ids from any of its files, label words, GLUE prompts."""

import encoder_cases
import pytest

from pocketllm.export.checkpoint.label_words import label_word_ids
from pocketllm.export.checkpoint.special_spellings import frame_remarks, special_spellings
from pocketllm.export.checkpoint.tokenizer import BERT_TOKENS, read_tokenizer, special_ids
from pocketllm.export.tasks.own_data import text_task
from pocketllm.runtime import contract
from pocketllm.runtime.data.encode_masked import encode
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.reader import Example
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.masked import TASKS

pytestmark = pytest.mark.desktop

CASED = ("No", "Yes", "Maybe", "Great", "é", "##é", "\u4e2d")
LABELS = ("bad", "okay", "good", "description", "entity", "expression", "human", "location",
          "number")  # fmt: skip
# Of tokenizer_config.json; None for no such file.
SETTINGS = {
    "a vocabulary alone": None,
    "uncased": {"do_lower_case": True},
    "cased": {"do_lower_case": False, "tokenizer_class": "BertTokenizer"},
    "cased, accents stripped": {"do_lower_case": False, "strip_accents": True},
    "uncased, accents kept": {"do_lower_case": True, "strip_accents": False},
    "Chinese in one piece": {"tokenize_chinese_chars": False},
    "a length": {"model_max_length": 8},
}
TEXTS = (
    "A GREAT film!", " it  was\tgreat", "Café, café", "no\u0301 film", "##ing it", "it##s great",
    "\u4e2d\u4e2dit", "it was [MASK].", "[CLS] a [sep]", "great\u200bfilm", "\U0001f600 great",
    "", " ", "x" * 120, "(it's; was:no?)", "\x00it\ufffd",
)  # fmt: skip


def write(folder, settings=None, words=CASED + LABELS, saved=False):
    """Writes BERT's tokenizer files; `saved` ones are those of transformers' save_pretrained."""
    folder.mkdir()
    encoder_cases.write_word_pieces(folder, words)
    if settings is not None:
        encoder_cases.write_settings(folder, **settings)
    if not saved:
        return folder
    from transformers import BertTokenizer

    own = {name: value for name, value in (settings or {}).items() if name != "tokenizer_class"}
    BertTokenizer.from_pretrained(folder, **own).save_pretrained(folder.with_name("saved"))
    return folder.with_name("saved")


def read(folder, model_type="bert"):
    """Returns (tokenizer, special ids) as an export takes them."""
    source = read_tokenizer(folder, BERT_TOKENS, model_type)
    spelled = special_spellings(source, BERT_TOKENS, contract.MASKED)
    assert frame_remarks(spelled, contract.MASKED) == []
    return source.tokenizer, special_ids(source.tokenizer, spelled, contract.MASKED)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_ids_and_special_tokens_are_those_of_auto_tokenizer(name, saved, tmp_path):
    from transformers import AutoTokenizer, BertConfig

    folder = write(tmp_path / "source", SETTINGS[name], saved=saved)
    theirs = AutoTokenizer.from_pretrained(folder, config=BertConfig())
    tokenizer, special = read(folder, "bert")

    for text in TEXTS:
        expected = theirs(text, add_special_tokens=False).input_ids
        assert tokenizer.encode(text, add_special_tokens=False).ids == expected, text
    assert (special.bos, special.eos) == (theirs.cls_token_id, theirs.sep_token_id)
    assert (special.pad, special.mask) == (theirs.pad_token_id, theirs.mask_token_id)


def test_distilbert_reads_the_same_files(tmp_path):
    folder = write(tmp_path / "source")

    ours, theirs = read(folder, "distilbert"), read(folder, "bert")

    assert ours[0].to_str() == theirs[0].to_str() and ours[1] == theirs[1]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("cased", [False, True])
def test_label_words_are_one_token_each_whatever_stands_before_them(task, cased, tmp_path):
    words = LABELS
    if cased:  # the words of SNLI and TREC are capitalised
        words += tuple(word.strip() for word in {*TASKS[task].words} if word.strip()[0].isupper())
    folder = write(tmp_path / "source", {"do_lower_case": not cased}, words=words)
    tokenizer, _ = read(folder)

    ids = label_word_ids(TASKS[task], tokenizer)

    spelled = [word.strip() if cased else word.strip().lower() for word in TASKS[task].words]
    assert [tokenizer.id_to_token(number) for number in ids] == spelled


def test_a_label_word_that_is_unknown_split_or_another_one_is_refused(tmp_path):
    tokenizer, _ = read(write(tmp_path / "source", {"do_lower_case": True}))

    for words, shown in (
        ("0:great,1:\U0001f600", "[UNK]"),
        ("0:great,1:greatest", "great"),
        ("0:Great,1:great", "another label has too"),
    ):
        with pytest.raises(InputError, match=r"label word .* expected") as caught:
            label_word_ids(text_task("{text} It was {mask}.", words), tokenizer)
        assert shown in str(caught.value)


# The reference's templates (MeZO, medium_models), each part of which it tokenises on its own.
TEMPLATES = {
    "sst2": "*cls**sent_0*_It_was*mask*.*sep+*",
    "sst5": "*cls**sent_0*_It_was*mask*.*sep+*",
    "snli": "*cls**sent-_0*?*mask*,*+sentl_1**sep+*",
    "mnli": "*cls**sent-_0*?*mask*,*+sentl_1**sep+*",
    "rte": "*cls**sent-_0*?*mask*,*+sentl_1**sep+*",
    "trec": "*cls**mask*:*+sent_0**sep+*",
}
PAIR = ("It was a GREAT film.", "No film was great; it's a no")


def reference_ids(template, texts, tokenizer):
    """Builds a row as MeZO's `tokenize_multipart_input` does, a special token in a text as text."""
    special = {"cls": tokenizer.cls_token_id, "mask": tokenizer.mask_token_id,
               "sep+": tokenizer.sep_token_id}  # fmt: skip
    ids = []
    for part in filter(None, template.split("*")):
        if part in special:
            ids.append(special[part])
            continue
        text = part.replace("_", " ")
        if "sent" in part:
            kind, number = part.split("_")
            text = texts[int(number)]
            text = text[:-1] if kind == "sent-" else text
            text = text[:1].lower() + text[1:] if kind == "+sentl" else text
            text = " " + text if kind.startswith("+") else text
        ids += tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("cased", [False, True])
def test_prompts_are_those_of_the_reference_on_berts_tokenizer(task, cased, tmp_path):
    from transformers import BertTokenizer

    folder = write(tmp_path / "source", {"do_lower_case": not cased})
    theirs = BertTokenizer.from_pretrained(folder, do_lower_case=not cased)
    tokenizer, special = read(folder)
    fields = [piece.text for piece in TASKS[task].pieces if piece.kind == "field"]
    row = RowFormat(TASKS[task], tokenizer, special, contract.WORDS, (), 128, 0)

    for texts in (PAIR, PAIR[::-1], ("##ing it [MASK] ", " great"), ("", "x")):
        example = Example(dict(zip(fields, texts)), 0, 1)
        encoded = encode(example, row)
        expected = reference_ids(TEMPLATES[task], texts, theirs)
        assert encoded.input_ids.tolist() == expected
        assert expected[encoded.target[contract.MASK_POSITION]] == theirs.mask_token_id


def test_a_prompt_of_ones_own_has_no_space_problems(tmp_path):
    tokenizer, special = read(write(tmp_path / "source", {"do_lower_case": True}))
    spellings = ("{text} It was {mask}.", "{text}It was{mask}.", "{text}  It  was  {mask} .")
    rows = []
    for prompt in spellings:
        task = text_task(prompt, "0:terrible,1:great")
        row = RowFormat(task, tokenizer, special, contract.WORDS, (), 32, 0)
        rows.append(encode(Example({"text": "a film"}, 0, 1), row).input_ids.tolist())

    assert rows[0] == rows[1] == rows[2]
    tokens = [tokenizer.id_to_token(number) for number in rows[0]]
    assert tokens == ["[CLS]", "a", "film", "it", "was", "[MASK]", ".", "[SEP]"]
