"""Templates, labels and label words, the user's own prompts, and the task in bundle.json."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketllm.export.checkpoint.label_words import label_word_ids
from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.export.tasks.own_data import option_text_task, text_task
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.codec import from_json, to_json
from pocketllm.runtime.tasks.masked import MASK, TASKS, field, literal

TOKENIZER = Path(__file__).resolve().parents[3] / "tflite_models" / "roberta_tokenizer"
WORDS = "0: terrible,1: great"
SPACED_A = field("a", leading_space=True)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_for(TOKENIZER)


@pytest.mark.parametrize(
    ("name", "labels", "words", "reserve"),
    [
        ("sst2", "0 1", "terrible great", None),
        ("sst5", "0 1 2 3 4", "terrible bad okay good great", 128 - 110),
        ("snli", "contradiction entailment neutral", "No Yes Maybe", None),
        ("mnli", "contradiction entailment neutral", "No Yes Maybe", 256 - 240),
        ("rte", "entailment not_entailment", "Yes No", 256 - 240),
        ("trec", "0 1 2 3 4 5", "Description Entity Expression Human Location Number", 128 - 110),
    ],
)
def test_labels_words_and_reserves_are_those_of_the_reference(name, labels, words, reserve):
    task = TASKS[name]

    assert task.labels == tuple(labels.split())
    assert task.words == tuple(" " + word for word in words.split())
    assert task.first_field_reserve == reserve


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("sst2", (6587, 372)),
        ("sst5", (6587, 1099, 8578, 205, 372)),
        ("snli", (440, 3216, 5359)),
        ("mnli", (440, 3216, 5359)),
        ("rte", (3216, 440)),
        ("trec", (33425, 46718, 43819, 3861, 16287, 12270)),
    ],
)
def test_every_label_word_is_one_token_of_robertas_vocabulary(name, ids, tokenizer):
    assert label_word_ids(TASKS[name], tokenizer) == ids


def test_a_label_word_of_several_tokens_is_named_with_its_tokens(tokenizer):
    task = text_task("{text}{mask}", "bad: unfathomable,good: great")

    with pytest.raises(InputError) as error:
        label_word_ids(task, tokenizer)

    assert str(error.value) == (
        "label word ' unfathomable' of label 'bad': found the tokens ['Ġunf', 'athom', 'able'], "
        "expected exactly one known token; choose a shorter, more common word"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [({" a": 0, " b": 0}, "distinct"), ({" a": 1, " b": 3}, "exactly one known token")],
)
def test_label_words_that_share_a_token_or_are_unknown_are_refused(words, expected):
    class Encoding:
        def __init__(self, number):
            self.ids, self.tokens = [number], [str(number)]

    class Tokenizer:
        def encode(self, word, add_special_tokens):
            return Encoding(words[word])

        def token_to_id(self, token):
            return {"<unk>": 3}[token]

    with pytest.raises(InputError, match=expected):
        label_word_ids(text_task("{text}{mask}", "0:a,1:b"), Tokenizer())


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("{text} It was{mask}.", (field("text"), literal(" It was"), MASK, literal("."))),
        ("{text} It was {mask}.", (field("text"), literal(" It was"), MASK, literal("."))),
        (
            "{a}?{mask}, {b}",
            (field("a"), literal("?"), MASK, literal(","), field("b", leading_space=True)),
        ),
        ("{mask}: {text}", (MASK, literal(":"), field("text", leading_space=True))),
        ("{mask} {text}", (MASK, field("text", leading_space=True))),
        ("{text} {mask}", (field("text"), MASK)),
        ("{text}  {mask}", (field("text"), literal(" "), MASK)),
        ("{{a}} {a}{mask} b ", (literal("{a}"), SPACED_A, MASK, literal(" b "))),
        ("{a}{b}{a}{mask}", (field("a"), field("b"), field("a"), MASK)),
    ],
)
def test_a_space_before_a_field_is_the_fields_and_one_before_the_mask_is_dropped(prompt, pieces):
    assert text_task(prompt, WORDS).pieces == pieces


def test_a_text_task_with_the_reference_prompt_has_the_reference_pieces_and_words():
    ours, reference = text_task("{sentence} It was{mask}.", WORDS), TASKS["sst2"]

    assert ours.pieces == reference.pieces
    assert (ours.labels, ours.words) == (reference.labels, reference.words)
    assert ours.columns == {"sentence": ("sentence",)}


def test_label_words_may_have_spaces_around_them_and_colons_in_the_word():
    task = text_task("{mask}{text}", r" yes :A\:B ,no:  C")

    assert task.labels == ("yes", "no")
    assert task.words == (" A:B", " C")


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("", "0 times {mask}"),
        ("{text} It was.", "0 times {mask}"),
        ("{text}{mask}{mask}", "2 times {mask}"),
        ("It was{mask}.", "no field"),
        ("{text {mask}", "lone '{'"),
        ("text}{mask}", "lone '}'"),
        ("{}{mask}", "found '{}'"),
        ("{ text }{mask}", "found '{ text }'"),
        ("{text}\n", "{text}\\n"),
    ],
)
def test_a_malformed_prompt_is_shown_with_what_is_wrong_and_an_example(prompt, problem):
    with pytest.raises(InputError) as error:
        text_task(prompt, WORDS)

    message = str(error.value)
    assert message.startswith(f"--prompt={prompt!r}: ") and problem in message
    assert message.endswith('write for example --prompt="{text} It was{mask}."')
    assert "\n" not in message


@pytest.mark.parametrize(
    ("label_words", "problem"),
    [
        ("", "found '', expected label:word"),
        ("0 terrible,1 great", "found '0 terrible', expected label:word"),
        ("0: terrible,", "found '', expected label:word"),
        ("0:,1: great", "found '0:', expected label:word"),
        (":bad,1: great", "found ':bad', expected label:word"),
        ("0: terrible", "found 1 label, expected at least 2"),
        ("0: bad,0: great", "found the label '0' twice"),
        ("0: bad,1:bad", "found the word 'bad' twice"),
    ],
)
def test_malformed_label_words_are_shown_with_what_is_wrong(label_words, problem):
    with pytest.raises(InputError) as error:
        text_task("{text}{mask}", label_words)

    assert str(error.value).startswith(f"--label_words={label_words!r}: {problem}")


@pytest.mark.parametrize(
    ("label_words", "labels", "words"),
    [
        (r"NUM\:date:Number, HUM\:ind : Human", ("NUM:date", "HUM:ind"), (" Number", " Human")),
        (r"Yes\, sure: great,No:so\, so", ("Yes, sure", "No"), (" great", " so, so")),
        (r"a\\:x,b\n:y", ("a\\", "b\\n"), (" x", " y")),
        ('{"NUM:date": "Number", "a,b": " x "}', ("NUM:date", "a,b"), (" Number", " x")),
        ('{" ": "a", "\\u00e4\\"": "b"}', (" ", '\u00e4"'), (" a", " b")),
    ],
)
@pytest.mark.parametrize("make", [text_task, option_text_task])
def test_labels_may_have_any_character(label_words, labels, words, make):
    task = make("{text} {mask}", label_words)

    assert (task.labels, task.words) == (labels, words)


@pytest.mark.parametrize(
    ("label_words", "problem"),
    [
        ("DESC:desc:Description,HUM:ind:Human", "found more than one colon in 'DESC:desc:Descri"),
        ("Yes, sure:great,No:bad", "found 'Yes', expected label:word (a backslash before a comma"),
        ("{'0':'bad','1':'good'}", 'found no valid JSON; write for example --label_words=\'{"0":'),
        (
            "{'it''s': 1, '1':'good'}",
            'found no valid JSON; write for example --label_words=\'{"0": ',
        ),
        ('{"0": "bad", "0": "good"}', "found the label '0' twice"),
        ('{"0": "bad"}', "found 1 label, expected at least 2"),
        ('{"0": 1, "1": "good"}', "found 1 for the label '0', expected a word"),
        ('{"0": ["a"], "1": "good"}', "found ['a'] for the label '0', expected a word"),
    ],
)
def test_label_words_that_can_be_read_in_two_ways_or_none_are_refused(label_words, problem):
    for make in (text_task, option_text_task):
        with pytest.raises(InputError) as error:
            make("{text} {mask}", label_words)
        assert str(error.value).startswith(f"--label_words={label_words!r}: {problem}")
        assert "\n" not in str(error.value)


def test_a_dicts_spelling_is_refused_with_the_json_to_write():
    with pytest.raises(InputError, match='--label_words=\'{"0":"bad","1":"good"}\'$'):
        text_task("{text}{mask}", "{'0':'bad','1':'good'}")


def test_a_backslash_and_an_n_in_the_prompt_are_a_line_break_for_both_styles():
    prompt = r"Text: {text}\nAnswer: {mask}"
    for flag in (prompt, prompt.replace(r"\n", "\n")):
        pieces = text_task(flag, WORDS).pieces
        assert pieces == (
            literal("Text:"), field("text", leading_space=True), literal("\nAnswer:"), MASK
        )  # fmt: skip
        assert option_text_task(flag, WORDS).template == "Text: {text}\nAnswer:"


USERS_TASK = text_task("{a}{{x}} {b}, {mask}!", "true: Yes,false: No")


@pytest.mark.parametrize("task", [*TASKS.values(), USERS_TASK], ids=lambda task: task.name)
def test_a_task_survives_bundle_json(task):
    assert from_json(json.loads(json.dumps(to_json(task))), "masked") == task


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("name",), 7, "task.name: found 7, expected a string"),
        (("first_field_reserve",), True, "first_field_reserve: found True, expected a whole"),
        (("label_numbers", "coarse_label"), ["0", "9"], "label numbers"),
        (("first_field_reserve",), -1, "first_field_reserve -1"),
        (("first_field_reserve",), "1", "first_field_reserve: found '1', expected a whole number"),
        (("labels",), "01", "task.labels: found '01', expected a list"),
        (("labels",), ["0", "1", "2", "3", "4", "4"], "not distinct"),
        (("words", 0), None, "task.words[0]: found None, expected a string"),
        (("words",), [" No", " Yes"], "found 2 words for 6 labels"),
        (("columns",), [], "task.columns: found [], expected an object"),
        (("columns",), {}, "columns for []"),
        (("columns", "text"), [], "columns for ['text'], expected some for each of ['text']"),
        (("label_columns",), [], "no label column"),
        (("label_aliases", "DESC"), "9", "label aliases"),
        (("pieces", 0), "mask", "task.pieces[0]: found 'mask', expected an object of exactly kind"),
        (("pieces", 0, "kind"), "field", "found 0 masks"),
        (("pieces", 1, "kind"), "image", "hold an unknown one"),
        (("pieces", 2, "lower_first"), 1, "task.pieces[2].lower_first: found 1, expected true or"),
        (("pieces", 2, "upper"), True, "'upper'], expected an object of exactly kind, text"),
    ],
)
def test_a_damaged_bundle_json_is_refused_and_the_entry_named(path, value, problem):
    entry = to_json(TASKS["trec"])
    inner = entry
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value

    with pytest.raises(InputError) as error:
        from_json(entry, "masked")

    assert str(error.value).startswith("bundle.json: task") and problem in str(error.value)
    assert str(error.value).endswith("export the bundle again")


@pytest.mark.parametrize("name", list(to_json(TASKS["sst2"])))
def test_every_entry_of_the_task_is_required(name):
    entry = to_json(TASKS["sst2"])
    del entry[name]

    with pytest.raises(InputError, match="expected an object of exactly name, pieces, labels"):
        from_json(entry, "masked")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(name=st.sampled_from(list(to_json(TASKS["mnli"]))), value=JSON)
def test_any_json_value_in_any_entry_gives_a_task_or_an_input_error(name, value):
    try:
        task = from_json(to_json(TASKS["mnli"]) | {name: value}, "masked")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert to_json(task)[name] == value
