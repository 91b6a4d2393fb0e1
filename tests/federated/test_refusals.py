"""Clients that refuse: each is named once, and a run ends where no answer can come any more."""

import math
from dataclasses import replace

import pytest
from stand_ins import CHECKSUM, config, terms, vector_client

from pocketllm.federated.protocol import (
    BEHIND,
    FAILED,
    LOSSES,
    REFUSED,
    Answer,
    pack_answer,
    read_question,
)
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.terms import TooFewAnswersError, Watcher
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

ROUNDS = 3
STUCK = {"patience": 0, "refused_rounds": ROUNDS}


def refusing(text="the data is gone", kind=REFUSED, **changes):
    """Returns what gives the same refusal to every question; counts them in `asked_for`."""

    def answer(question):
        answer.questions += 1
        attempt = read_question(question).attempt
        return pack_answer(Answer(kind, attempt, 0, text=text, **changes))

    answer.questions = 0
    return answer


class Coming(InProcess):
    """Clients of whom some come later, or are silent for a while."""

    def __init__(self, clients, later=(), silent=(), after=20):
        super().__init__(clients)
        self.later, self.silent, self.after, self.rounds = set(later), set(silent), after, 0

    def clients(self):
        """Returns those that are there by now."""
        is_late = self.rounds < self.after
        return [n for n in super().clients() if not (is_late and n in self.later)]

    def ask(self, questions, wanted, seconds):
        """Asks those that are not silent."""
        self.rounds += 1
        is_late = self.rounds < self.after
        asked_for = {n: q for n, q in questions.items() if not (is_late and n in self.silent)}
        super().ask(asked_for, wanted, seconds)


def served(folder, grid, lines=None, steps=4, **changes):
    say = (lines if lines is not None else []).append
    return serve(folder, config(steps), terms(**STUCK | changes), grid, watcher=Watcher(say=say))


def test_a_run_ends_where_every_client_refuses_and_names_each_once(tmp_path):
    clients, lines = {7: refusing(), 9: refusing("another bundle")}, []

    with pytest.raises(InputError) as error:
        served(tmp_path / "s", InProcess(clients), lines)

    assert sorted(lines) == [
        "client 7: not used: the data is gone",
        "client 9: not used: another bundle",
    ]
    assert str(error.value) == (
        f"{tmp_path / 's'}: all clients refuse, 3 rounds in a row; client 7: the data is gone "
        "(1 more: see above); look at the clients, and run the same command again"
    )
    assert clients[7].questions == clients[9].questions == ROUNDS


def test_a_client_of_another_bundle_ends_a_run_that_has_no_other(tmp_path):
    grid = InProcess({1: vector_client(tmp_path / "a", 1.0)})
    other = replace(config(), bundle_checksum="c" * 64)

    with pytest.raises(InputError, match=f"all clients refuse.*this client has {CHECKSUM[:12]}"):
        serve(tmp_path / "s", other, terms(**STUCK), grid)


@pytest.mark.parametrize("kind", [FAILED, LOSSES])
def test_clients_without_a_number_are_a_failure_and_no_bad_input(kind, tmp_path):
    """Either the client says that its loss is not finite, or it sends it."""
    losses = (math.nan, math.nan) if kind == LOSSES else ()
    client = refusing("loss nan", kind, losses=losses)

    with pytest.raises(TooFewAnswersError, match="all clients refuse, 3 rounds in a row"):
        served(tmp_path / "s", InProcess({1: client}))


@pytest.mark.parametrize("who", ["silent", "later"])
def test_a_straggler_is_waited_for(who, tmp_path):
    """One client answers after twenty rounds in which it was silent, or away behind an answer."""
    good = vector_client(tmp_path / "good", 1.0)
    if who == "later":  # it took part before, and the run knows it from rounds.jsonl
        served(tmp_path / "s", InProcess({2: good}), steps=2)
    grid = Coming({1: refusing(), 2: good}, **{who: [2]})

    assert served(tmp_path / "s", grid, quorum=0.5).last_step == 4
    assert grid.rounds > 20


def test_a_client_that_lacks_steps_refuses_nothing(tmp_path):
    with pytest.raises(TooFewAnswersError, match="12 rounds in a row had fewer"):
        grid = InProcess({1: refusing("", BEHIND), 2: refusing()})
        served(tmp_path / "s", grid, patience=12)


def test_a_refusal_that_is_mended_in_time_ends_nothing(tmp_path):
    good, bad = vector_client(tmp_path / "a", 1.0), refusing()

    def answer(question):
        return (bad if bad.questions < ROUNDS - 1 else good)(question)

    assert served(tmp_path / "s", InProcess({1: answer})).last_step == 4


def test_a_round_of_refusals_asks_the_others_next(tmp_path):
    """A round asks one of five clients; the same draw would ask the same one for ever."""
    clients = {n: refusing(f"it is {n}") for n in range(1, 5)}
    clients[5] = vector_client(tmp_path / "good", 1.0)

    assert served(tmp_path / "s", InProcess(clients), share=0.2, steps=12).last_step == 12
    assert len(read_journal(tmp_path / "s" / JOURNAL).steps) == 12


def test_a_silent_client_is_not_drawn_again_and_again(tmp_path):
    clients = {n: vector_client(tmp_path / str(n), 1.0) for n in range(1, 5)}
    grid = Coming(clients, silent=[1, 2, 3], after=1000)

    assert served(tmp_path / "s", grid, share=0.25, steps=8).last_step == 8


def test_a_client_that_changes_its_words_is_named_a_few_times(tmp_path):
    words, lines = iter(range(100)), []

    def answer(question):
        return refusing(f"reason {next(words)}")(question)

    grid = InProcess({1: answer, 2: vector_client(tmp_path / "good", 1.0)})
    served(tmp_path / "s", grid, lines, steps=12)

    assert lines == [f"client 1: not used: reason {n}" for n in range(3)]
