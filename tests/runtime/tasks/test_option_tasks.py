"""Tasks of scored options: templates, scoring, the user's own, and how bundle.json holds them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opt_reference import TOKENIZER

from pocketllm.export.checkpoint.label_words import Scoring, scoring_of
from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.export.tasks.own_data import option_text_task
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.runtime.tasks.codec import from_json, to_json
from pocketllm.runtime.tasks.templates import TRANSFORMS, fill, template_fields

WORDS = "0:terrible,1:great"


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_for(TOKENIZER)


def test_every_word_has_the_references_token(tokenizer):
    ids = {"Yes": 9904, "No": 3084, "Maybe": 14541, " terrible": 6587, " great": 372}

    for name, task in TASKS.items():
        if task.words:
            expected = Scoring("words", tuple(ids[w] for w in task.words), 0)
            assert scoring_of(task, tokenizer) == expected, name
        else:
            assert scoring_of(task, tokenizer) == Scoring("gold", (), 0)


@pytest.mark.parametrize(
    ("prompt", "label_words", "scoring", "option_tokens"),
    [
        ("{text}", "a:good,b:bad", "words", 0),
        ("{text}", "a:1,b:!", "words", 0),
        ("{text}", "a:good,b:very bad", "options", 2),
        (r"{text}\n", "a:good,b:bad", "words", 0),
        # Two line breaks are one token at the end, and two before a word: as many in the reference.
        (r"{text}\n\n", "a:good,b:bad", "options", 2),
        (r"{text}\n\nA:\n\n", "a:not good,b:great", "options", 3),
        ("{text}. In short", "a:good,b:not worth it", "options", 3),
    ],
)
def test_words_of_one_token_share_a_row_and_others_are_options(
    prompt, label_words, scoring, option_tokens, tokenizer
):
    decided = scoring_of(option_text_task(prompt, label_words), tokenizer)

    assert (decided.kind, decided.option_tokens) == (scoring, option_tokens)
    assert len(decided.word_ids) == (2 if scoring == "words" else 0)


@settings(deadline=None)
@given(
    value=st.text(st.characters(codec="utf-8"), max_size=40),
    prompt=st.sampled_from(["{text}", r"{text}\n", "{text} It was", r"({text})\nA:\n", "{text} 1"]),
)
def test_the_tokens_before_a_word_are_the_same_whichever_word_follows(value, prompt, tokenizer):
    task = option_text_task(prompt, "a:good,b:1,c:!,d:(")
    words = scoring_of(task, tokenizer)
    before = fill(task.template, {"text": value.strip()})
    rows = [tokenizer.encode(before + w, add_special_tokens=False).ids for w in task.words]

    assert words.kind == "words"
    assert [row[-1] for row in rows] == list(words.word_ids)
    assert all(row[:-1] == rows[0][:-1] for row in rows)


def test_braces_in_the_data_stay_what_they_are():
    assert fill("{a}{{b}} {c d}", {"a": "{c d}", "c d": "}}{"}) == "{c d}{b} }}{"
    assert template_fields("{a}{{b}} {c d}") == ["a", "c d"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("without_full_stop", "It rained.. \n", "It rained."),
        ("without_full_stop", " It rained! ", " It rained!"),
        ("as_question", "is it", "Is it?"),
        ("as_question", "élan?", "Élan?"),
        ("as_question", "", "?"),
        ("highlights_as_list", "a\n@highlight\nb\n@highlight", "a\n- b\n@highlight"),
        ("lower_first_word", "I ran.", "I ran."),
        ("lower_first_word", "I'm IN.", "i'm IN."),
        ("lower_first_word", " The End", " The End"),
        ("lower_first_word", "THE End", "the End"),
    ],
)
def test_a_transform_does_what_the_reference_does(name, text, expected):
    assert TRANSFORMS[name](text) == expected


@pytest.mark.parametrize(
    ("prompt", "template", "words"),
    [
        ("{text} It was", "{text} It was", (" terrible", " great")),
        ("{text} It was {mask}.", "{text} It was", (" terrible", " great")),
        ("{text} It was{mask}", "{text} It was", (" terrible", " great")),
        (r"{text}\nSentiment:  ", "{text}\nSentiment:", (" terrible", " great")),
        (r"{text} Yes or No?\n{mask} ", "{text} Yes or No?\n", ("terrible", "great")),
        ("{a key}\n{a key} {{x}} {b}", "{a key}\n{a key} {{x}} {b}", (" terrible", " great")),
        ("{{mask}} {text}", "{{mask}} {text}", (" terrible", " great")),
    ],
)
def test_the_word_follows_the_users_prompt_with_a_space_or_on_a_line_of_its_own(
    prompt, template, words
):
    task = option_text_task(prompt, WORDS)

    assert (task.template, task.words, task.labels) == (template, words, ("0", "1"))
    assert list(task.columns) == list(dict.fromkeys(template_fields(template)))


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("{text} {mask}, right?", "found ', right?' behind {mask}, which a causal model does not"),
        ("{mask} {text}", "found '{text}' behind {mask}"),
        ("{text} {mask} {mask}", "found '{mask}' behind {mask}"),
        ("It was", "found no field"),
        ("{{text}} {mask}", "found no field"),
        ("{text} {", "found a lone '{'"),
        ("{text} {}", "found '{}', expected the name of a field"),
        ("{label} It was", "found {label}, which would give the answer away"),
    ],
)
def test_a_prompt_that_a_causal_model_cannot_answer_is_refused(prompt, problem):
    with pytest.raises(InputError) as error:
        option_text_task(prompt, WORDS)

    assert str(error.value).startswith(f"--prompt={prompt!r}: {problem}")
    assert str(error.value).endswith('--prompt="{text} It was"')


USERS = option_text_task(r"{{{a}}} {b}\n", "true:Yes it is,false:No")


@pytest.mark.parametrize("task", [*TASKS.values(), USERS], ids=lambda task: task.name)
def test_a_task_of_options_survives_bundle_json(task):
    assert from_json(json.loads(json.dumps(to_json(task))), "causal") == task


@pytest.mark.parametrize(
    ("name", "path", "value", "problem"),
    [
        ("cb", ("template",), "{premise} {", "has a brace without its other"),
        ("cb", ("template",), "x", "found no field"),
        ("cb", ("template",), "{x}", "columns for ['hypothesis', 'premise'], expected some for"),
        ("cb", ("columns", "premise"), [], "columns for ['hypothesis', 'premise']"),
        ("cb", ("columns", "more"), ["more"], "columns for ['hypothesis', 'more', 'premise']"),
        ("cb", ("layout",), "tree", "layout 'tree' is unknown"),
        ("cb", ("layout",), "record", "layout 'record' does not go with a choice of kind 'words'"),
        ("copa", ("layout",), "record", "layout 'record' does not go with a choice of kind"),
        ("record", ("layout",), "flat", "layout 'flat' does not go with a choice of kind 'row'"),
        (
            "cb",
            ("choice",),
            [],
            "task.choice: found [], expected an object whose kind is words, fields",
        ),
        ("cb", ("choice", "kind"), "all", "task.choice: found an object of ['kind', 'words', "),
        (
            "cb",
            ("choice", "kind"),
            ["words"],
            "expected an object whose kind is words, fields, row",
        ),
        (
            "cb",
            ("choice", "kind"),
            "fields",
            "expected an object of exactly fields, labels, label_",
        ),
        ("cb", ("transforms",), {"premise": "upper"}, "transforms ['upper'] hold an unknown one"),
        ("cb", ("transforms",), {"x": "lower"}, "transforms of ['x']"),
        ("cb", ("values",), {"x": {}}, "values of ['x'], not all fields"),
        ("cb", ("values",), {"premise": 1}, "values['premise']: found 1, expected an object"),
        ("cb", ("choice", "words"), [], "found 0 options, expected at least 2"),
        ("cb", ("choice", "words"), ["Yes", "No"], "2 options for 3 labels"),
        ("cb", ("choice", "words", 2), "No", "options ('Yes', 'No', 'No') are not distinct"),
        ("cb", ("choice", "words", 2), "", "hold an empty one"),
        ("cb", ("choice", "labels", 2), "entailment", "not distinct"),
        ("cb", ("choice", "label_columns"), [], "no label column"),
        ("cb", ("choice", "label_aliases", "0"), "yes", "label aliases"),
        ("cb", ("metrics",), ["bleu"], "metrics ('bleu',) hold an unknown one"),
        ("cb", ("split",), [1000], "split (1000,)"),
        ("cb", ("split",), [1000, 0], "split (1000, 0)"),
        ("copa", ("choice", "fields"), ["choice1"], "expected some for each of"),
        ("copa", ("choice", "labels"), ["0"], "2 options for 1 labels"),
        ("record", ("choice", "words"), ["a", "b"], "task.choice: found an object of ['words']"),
        ("record", ("choice", "labels"), ["a"], "task.choice: found an object of ['labels']"),
    ],
)
def test_a_damaged_task_of_options_is_refused_and_the_entry_named(name, path, value, problem):
    entry = to_json(TASKS[name])
    inner = entry
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value

    with pytest.raises(InputError) as error:
        from_json(entry, "causal")

    assert str(error.value).startswith("bundle.json: task") and problem in str(error.value)
    assert str(error.value).endswith("export the bundle again")


def test_an_unknown_style_and_a_task_of_another_style_are_refused():
    with pytest.raises(InputError, match="found the style 'prefix', expected masked or causal"):
        from_json(to_json(TASKS["cb"]), "prefix")
    with pytest.raises(InputError, match="expected an object of exactly name, pieces, labels"):
        from_json(to_json(TASKS["cb"]), "masked")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(name=st.sampled_from(list(to_json(TASKS["copa"]))), value=JSON)
def test_any_json_value_in_any_entry_gives_a_task_or_an_input_error(name, value):
    try:
        task = from_json(to_json(TASKS["copa"]) | {name: value}, "causal")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert to_json(task)[name] == value
