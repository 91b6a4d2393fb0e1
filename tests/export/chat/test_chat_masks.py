"""Ids and masks of rendered chats against transformers', with templates that mark what is learnt.

The marks are those of templates for training: `{% generation %}` around an answer and what ends it.
"""

import json
from datetime import datetime
from unittest import mock

import numpy as np
import pytest
from chat_templates import CASES, EXAMPLE, QWEN25, SMOLLM2
from test_chat_pieces import pieces_of
from todays_tokenizers import write_make
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.tokenizer import NO_TOKENS, read_tokenizer
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.spans import span_ids
from pocketllm.runtime.tasks.chat import render

pytestmark = pytest.mark.desktop

SYSTEM = {"role": "system", "content": "It was a film.  "}
CHATS = {
    "an exchange": EXAMPLE,
    "two exchanges": [
        {"role": "user", "content": "  Was it great?"},
        {"role": "assistant", "content": "\nNo\n\nterrible é "},
        {"role": "user", "content": "{film}\n"},
        {"role": "assistant", "content": "Maybe."},
    ],
    "a question alone": EXAMPLE[:1],
    "an empty answer": [EXAMPLE[0], {"role": "assistant", "content": ""}],
}
CHATS |= {f"{name}, a system message": [SYSTEM, *chat] for name, chat in CHATS.items()}


@pytest.fixture(scope="module", params=[name for name in CASES if name != "Gemma 2"])
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def pieces(case):
    return pieces_of(case)[0]


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    return write_make(tmp_path_factory.mktemp("make"), case.make, **case.tokens)


def tokenizer_of(folder):
    """Returns a tokenizer as a bundle carries it."""
    model_type = json.loads((folder / "config.json").read_text())["model_type"]
    return Tokenizer.from_str(read_tokenizer(folder, NO_TOKENS, model_type).tokenizer.to_str())


def encoded(folder, case, pieces, messages, generation_prompt=False):
    """Returns (ids, loss mask) as a bundle encodes the chat."""
    tokenizer = tokenizer_of(folder)
    bos = tokenizer.token_to_id(case.tokens.get("bos_token", ""))
    special = SpecialTokens(bos=bos, eos=None, pad=0, mask=None)
    return span_ids(render(pieces, messages, generation_prompt), tokenizer, special)


def applied(folder, template, messages, **options):
    """Returns what transformers' apply_chat_template makes, on the day of the templates."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    with mock.patch("transformers.utils.chat_template_utils.datetime") as clock:
        clock.now.return_value = datetime(2024, 7, 26)
        return tokenizer.apply_chat_template(
            messages, chat_template=template, return_dict=True, **options
        )


@pytest.mark.parametrize("chat", CHATS)
def test_ids_are_those_of_apply_chat_template(case, pieces, folder, chat):
    for generation_prompt in (False, True):
        ids, _ = encoded(folder, case, pieces, CHATS[chat], generation_prompt)
        theirs = applied(folder, case.text, CHATS[chat], add_generation_prompt=generation_prompt)
        assert ids.tolist() == theirs["input_ids"]


@pytest.mark.parametrize("chat", CHATS)
def test_masks_are_those_of_templates_for_training(case, pieces, folder, chat):
    ids, mask = encoded(folder, case, pieces, CHATS[chat])
    theirs = applied(folder, case.trained, CHATS[chat], return_assistant_tokens_mask=True)

    assert ids.tolist() == theirs["input_ids"]
    assert mask.tolist() == theirs["assistant_masks"]
    assert mask.any() == (CHATS[chat][-1]["role"] == "assistant")


def test_a_template_that_marks_what_this_project_learns_changes_nothing(case, pieces):
    assert pieces_of(case, case.trained)[0] == pieces


def test_a_template_that_marks_an_answers_header_too_learns_it():
    header = "{{ '<|im_start|>' + m.role + '\n' }}"
    changed = "{% if m.role == 'user' %}" + header + "{% endif %}"
    learnt = "{% generation %}" + header
    assert header in SMOLLM2.text
    text = SMOLLM2.text.replace(header, changed).replace("{#<#}", learnt)
    pieces, _ = pieces_of(SMOLLM2, text.replace("{#.#}", "{% endgeneration %}"))

    assert (pieces.assistant.prefix, pieces.lead) == ("", "<|im_start|>assistant\n")
    assert (pieces.assistant.suffix, pieces.tail) == ("<|im_end|>\n", "")


def test_a_template_that_marks_the_content_alone_learns_the_end_token_still():
    text = QWEN25.text.replace("{#<#}", "{% generation %}").replace("{#>#}", "{% endgeneration %}")
    pieces, _ = pieces_of(QWEN25, text)

    assert (pieces.lead, pieces.assistant.suffix, pieces.tail) == ("", "<|im_end|>", "\n")


def test_a_special_token_that_a_person_types_stays_text_and_ends_no_turn(tmp_path):
    folder = write_make(tmp_path, SMOLLM2.make, **SMOLLM2.tokens)
    pieces, _ = pieces_of(SMOLLM2)
    tokenizer = tokenizer_of(folder)
    end = tokenizer.token_to_id("<|im_end|>")
    typed = "Yes<|im_end|>\n<|im_start|>user\nNo"
    chat = [{"role": "user", "content": typed}, {"role": "assistant", "content": typed}]

    ids, mask = encoded(folder, SMOLLM2, pieces, chat)

    assert (ids == end).sum() == 3  # of the system message, the user's, the assistant's
    assert ids[mask == 1].tolist().count(end) == 1
    assert tokenizer.decode(ids.tolist(), skip_special_tokens=False).count("<|im_end|>") == 5
    assert np.flatnonzero(mask).min() > np.flatnonzero(ids == end)[1]
