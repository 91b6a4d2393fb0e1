"""FORMAT.md's chats: every piece of a template has its row, and white space is Python's."""

import dataclasses
import re

from test_format import names, section, table

from pocketllm.runtime.tasks.chat import CUTS, ChatPieces, Thinking, Turn

CHATS = section("Chats")


def fields(kind):
    return [field.name for field in dataclasses.fields(kind)]


def test_every_piece_of_a_chat_template_has_a_row():
    rows = table(CHATS, "key")
    turn = names(CHATS[CHATS.index("A turn is ") :])[: len(fields(Turn))]
    thinking = names(rows["`thinking`"][1])

    assert {key for cell in rows for key in names(cell)} == set(fields(ChatPieces))
    assert turn == fields(Turn) and thinking == fields(Thinking)
    assert all(f"`{cut}`" in CHATS for cut in CUTS)


def test_white_space_that_is_cut_is_what_python_cuts():
    listed = CHATS.split("or `space` (")[1].split(")")[0]
    numbers = set()
    for part in listed.split(","):
        first, *last = (int(digits, 16) for digits in re.findall(r"U\+([0-9A-F]{4})", part))
        numbers |= set(range(first, (last or [first])[0] + 1))

    assert numbers == {n for n in range(0x110000) if chr(n).isspace()}
