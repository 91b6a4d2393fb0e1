"""Every OPT task on published rows, against the reference and transformers' tokenizer."""

import pytest
from encoding import causal_format
from opt_reference import EXCERPTS, OF_TASK, TOKENIZER, reference, reference_ids

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.runtime.data.encode_causal import encode_all, options_of, prompt_of
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.tasks.causal import TASKS

CLASSIFIED = [name for name in TASKS if name not in ("copa", "record")]


def excerpt(name):
    return EXCERPTS / ("sst2.tsv" if name == "sst2" else f"{name}.jsonl")


@pytest.fixture(scope="module")
def ids():
    """Text to ids, by transformers' OPT tokenizer: GPT-2's with OPT's vocabulary."""
    from transformers import GPT2Tokenizer

    theirs = GPT2Tokenizer.from_pretrained(
        TOKENIZER, bos_token="<s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )
    return lambda text: theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("name", OF_TASK)
def test_prompts_options_and_golds_are_the_references(name):
    examples, _ = read_examples(excerpt(name), TASKS[name])
    expected = reference(name)

    assert len(examples) == len(expected) >= 20
    for example, (prompt, texts, golds) in zip(examples, expected):
        assert prompt_of(example, TASKS[name]) == prompt
        assert [prompt + option for option in options_of(example, TASKS[name])] == texts
        assert list(example.golds or (example.label,)) == golds


def test_the_excerpts_hold_every_label_and_every_case_of_the_templates():
    for name in OF_TASK:
        golds = {golds[0] for _, _, golds in reference(name)}
        assert golds >= set(range(len(TASKS[name].labels))), name
    text = {name: excerpt(name).read_text(encoding="utf-8") for name in OF_TASK}
    assert " \t" in text["sst2"] and '"choice1": "I ' in text["copa"]
    assert '"effect"' in text["copa"] and '"cause"' in text["copa"]
    assert "@highlight" in text["record"]
    assert any(len(golds) > 1 for _, _, golds in reference("record"))


@pytest.mark.desktop
@pytest.mark.parametrize("max_length", [2048, 40])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_label_word_rows_are_the_references_without_the_word(name, max_length, ids):
    task, tokenizer = TASKS[name], tokenizer_for(TOKENIZER)
    scoring = scoring_of(task, tokenizer)
    word_ids = scoring.word_ids
    assert (scoring.kind, len(word_ids)) == ("words", len(task.labels))
    row_format = causal_format(task, tokenizer, scoring.kind, max_length - 1, 0, word_ids=word_ids)
    examples, _ = read_examples(excerpt(name), task)

    encoded = encode_all(examples, row_format, "f")

    for ours, (prompt, texts, golds) in zip(encoded, reference(name), strict=True):
        (row,) = ours.sequences
        expected = reference_ids(ids, prompt, texts, max_length)
        for (whole, scored), word_id in zip(expected, word_ids, strict=True):
            assert scored == 1
            assert [*row.input_ids.tolist(), word_id] == whole
        assert row.target == {"last_position": len(row.input_ids) - 1}
        assert row.truncated == (1 + len(ids(texts[0].lstrip())) > max_length)
        assert list(ours.golds) == golds


@pytest.mark.desktop
@pytest.mark.parametrize("max_length", [2048, 60])
@pytest.mark.parametrize("name", ["copa", "record"])
def test_option_rows_are_the_references(name, max_length, ids):
    task, tokenizer = TASKS[name], tokenizer_for(TOKENIZER)
    scoring = scoring_of(task, tokenizer)
    assert scoring.kind == "gold"
    row_format = causal_format(task, tokenizer, scoring.kind, max_length, 59)
    examples, _ = read_examples(excerpt(name), task)

    encoded = encode_all(examples, row_format, "f")
    trained = encode_all(examples, row_format, "f", only_gold=True)

    for ours, gold, (prompt, texts, golds) in zip(encoded, trained, reference(name), strict=True):
        expected = reference_ids(ids, prompt, texts, max_length)
        for row, (whole, scored) in zip(ours.sequences, expected, strict=True):
            assert row.input_ids.tolist() == whole
            assert row.target["option_tokens"] == scored > 1
            assert row.target["option_start"] == len(whole) - scored
        assert list(ours.golds) == golds and gold.golds == (0,)
        (row,) = gold.sequences
        assert row.input_ids.tolist() == expected[golds[0]][0]


@pytest.mark.desktop
def test_several_words_make_an_option_each(ids):
    from pocketllm.export.tasks.own_data import option_text_task

    words = {"0": "very bad", "1": "good"}
    task = option_text_task("{sentence}\\nIt was", ",".join(f"{k}:{w}" for k, w in words.items()))
    tokenizer = tokenizer_for(TOKENIZER)
    scoring = scoring_of(task, tokenizer)
    assert scoring.kind == "options"
    examples, _ = read_examples(excerpt("sst2"), task)

    encoded = encode_all(examples, causal_format(task, tokenizer, scoring.kind, 24, 3), "f")

    for ours, example in zip(encoded, examples, strict=True):
        prompt = f"{example.fields['sentence'].strip()}\nIt was"
        texts = [f"{prompt} {word}" for word in words.values()]
        for row, (whole, scored) in zip(ours.sequences, reference_ids(ids, prompt, texts, 24)):
            assert row.input_ids.tolist() == whole
            assert row.target == {"option_start": len(whole) - scored, "option_tokens": scored}
        assert ours.golds == (example.label,)
