"""A client's answers: what it takes of the server, what it refuses, how it catches up."""

import shutil
from dataclasses import replace

import pytest
from stand_ins import CHECKSUM, config, terms, vector_client

from pocketllm.federated.protocol import (
    BEHIND,
    LOSSES,
    REFUSED,
    Question,
    pack_question,
    read_answer,
)
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.terms import Watcher
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal


@pytest.fixture
def server(tmp_path):
    """A server's run directory of eight steps."""
    grid = InProcess({1: vector_client(tmp_path / "first", 1.0)})
    assert serve(tmp_path / "server", config(), terms(), grid).last_step == 8
    return tmp_path / "server"


def question_of(server, start, end, **changes):
    """Returns the bytes of the question that a server would ask behind step `end`."""
    journal, data = read_journal(server / JOURNAL), (server / JOURNAL).read_bytes()
    values = {
        "attempt": 5, "first": end + 1, "steps": 1, "start": start,
        "header_checksum": journal.checksums[0], "header": data[: journal.ends[0]],
        "records": data[journal.ends[start] : journal.ends[end]],
    }  # fmt: skip
    return pack_question(Question(**values | changes))


def test_a_new_client_takes_all_records_at_once(server, tmp_path):
    answer = read_answer(vector_client(tmp_path / "new", 1.0)(question_of(server, 0, 8)))

    assert (answer.kind, answer.steps, len(answer.losses)) == (LOSSES, 8, 2)
    assert (tmp_path / "new" / JOURNAL).read_bytes() == (server / JOURNAL).read_bytes()


def test_a_client_that_lacks_steps_says_how_many_it_has(server, tmp_path):
    client = vector_client(tmp_path / "new", 1.0)

    without_header = read_answer(client(question_of(server, 4, 8, header=b"")))
    behind = read_answer(client(question_of(server, 4, 8)))
    some = read_answer(client(question_of(server, 0, 3, first=9)))
    rest = read_answer(client(question_of(server, 3, 8)))

    assert [a.kind for a in (without_header, behind, some, rest)] == [
        BEHIND,
        BEHIND,
        BEHIND,
        LOSSES,
    ]
    assert [a.steps for a in (without_header, behind, some, rest)] == [0, 0, 3, 8]


def test_the_same_question_again_has_the_same_answer(server, tmp_path):
    client, question = vector_client(tmp_path / "new", 1.0), question_of(server, 0, 8)

    assert client(question) == client(question)


def test_a_question_that_is_played_again_later_is_refused(server, tmp_path):
    client = vector_client(tmp_path / "new", 1.0)
    early = question_of(server, 0, 4)
    assert read_answer(client(early)).kind == LOSSES
    client(question_of(server, 4, 8))

    answer = read_answer(client(early))

    assert answer.kind == REFUSED and "step 5 is past" in answer.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"header_checksum": 1}, "another federation"),
        ({"records": b"\1" * 72}, "does not follow"),
    ],
)
def test_what_does_not_continue_the_clients_journal_is_refused(changes, words, server, tmp_path):
    client = vector_client(tmp_path / "new", 1.0)
    client(question_of(server, 0, 4))
    before = (tmp_path / "new" / JOURNAL).read_bytes()

    answer = read_answer(client(question_of(server, 4, 5, **changes)))

    assert answer.kind == REFUSED and words in answer.text
    assert (tmp_path / "new" / JOURNAL).read_bytes() == before


def test_another_history_of_the_same_run_is_refused(server, tmp_path):
    grid = InProcess({1: vector_client(tmp_path / "other", -5.0)})
    serve(tmp_path / "forked", config(), terms(), grid)
    client = vector_client(tmp_path / "new", 1.0)
    client(question_of(server, 0, 4))

    again = read_answer(client(question_of(tmp_path / "forked", 0, 5)))
    behind = read_answer(client(question_of(tmp_path / "forked", 4, 5)))

    assert again.kind == behind.kind == REFUSED
    assert "another one than the client's" in again.text
    assert "does not follow the client's step 4" in behind.text


def test_a_damaged_record_in_the_middle_leaves_the_journal_as_it_was(server, tmp_path):
    client = vector_client(tmp_path / "new", 1.0)
    client(question_of(server, 0, 2))
    records = bytearray(read_journal(server / JOURNAL).steps._data[slice(*_bounds(server, 2, 6))])
    records[-3] ^= 1

    answer = read_answer(client(question_of(server, 2, 6, records=bytes(records))))

    assert answer.kind == REFUSED and "record 6 is damaged" in answer.text
    assert len(read_journal(tmp_path / "new" / JOURNAL).steps) == 2


def _bounds(server, start, end):
    ends = read_journal(server / JOURNAL).ends
    return ends[start], ends[end]


@pytest.mark.parametrize("damage", ["wiped", "cut", "header", "middle"])
def test_a_journal_that_is_lost_or_damaged_comes_from_the_server_again(damage, server, tmp_path):
    lines = []
    client = vector_client(tmp_path / "new", 1.0, say=lines.append)
    client(question_of(server, 0, 8))
    path = tmp_path / "new" / JOURNAL
    data = bytearray(path.read_bytes())
    if damage == "wiped":
        shutil.rmtree(tmp_path / "new")
    elif damage == "cut":
        path.write_bytes(data[:-30])
    else:
        data[20 if damage == "header" else _bounds(server, 2, 3)[0] + 9] ^= 1
        path.write_bytes(data)

    first = read_answer(client(question_of(server, 8, 8, header=b"")))
    client(question_of(server, first.steps, 8))

    assert first.kind == BEHIND and first.steps == (7 if damage == "cut" else 0)
    assert path.read_bytes() == (server / JOURNAL).read_bytes()
    assert any("put aside" in line for line in lines) == (damage in ("header", "middle"))


def test_a_client_of_another_bundle_is_not_used_and_the_server_says_why(tmp_path):
    other = replace(config(), bundle_checksum="c" * 64)
    lines = []
    grid = InProcess({1: vector_client(tmp_path / "a", 1.0)})
    with pytest.raises(RunError, match="2 rounds in a row had fewer than 1 answers"):
        serve(tmp_path / "s", other, terms(patience=2), grid, watcher=Watcher(say=lines.append))

    assert len(lines) == 1, "it is said once"
    assert "trains bundle cccccccccccc…, this client has " + CHECKSUM[:12] in lines[0]
