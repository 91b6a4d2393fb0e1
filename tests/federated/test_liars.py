"""Two liars of ten in a whole federation: where each rule leads in spite of what they send."""

import math
import os

import numpy as np
import pytest
from stand_ins import config, terms, vector_after, vector_client

from pocketllm.federated.aggregation import Rule
from pocketllm.federated.protocol import SPENT, Answer, pack_answer, read_question
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.terms import TooFewAnswersError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

CLIENTS, LIARS, TARGET, STEPS = 10, 2, 1.0, 20


@pytest.fixture(autouse=True, scope="module")
def _quick_disk():
    """No power fails here: what is written is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def turned_around(losses):
    """Says ten times the truth, in the other direction."""
    pairs = zip(losses[::2], losses[1::2])
    lies = [((p + m) / 2, 5 * (p - m)) for p, m in pairs]
    return [loss for center, slope in lies for loss in (center - slope, center + slope)]


LIES = {
    "nan": lambda losses: [math.nan] * len(losses),
    "huge": lambda losses: [1e30, -1e30] * (len(losses) // 2),
    "turned around": turned_around,
}


def loss_after(folder, rule, lie):
    """Returns the loss that a federation ends with, 1.0 at its start."""
    clients = {
        number: vector_client(folder / str(number), TARGET, lie if number <= LIARS else None)
        for number in range(1, CLIENTS + 1)
    }
    serve(folder / "server", config(STEPS), terms(rule=rule), InProcess(clients))
    theta = vector_after(read_journal(folder / "server" / JOURNAL).steps)
    return float(np.mean((theta.values - TARGET) ** 2))


@pytest.fixture(scope="module")
def honest_loss(tmp_path_factory, _quick_disk):
    loss = loss_after(tmp_path_factory.mktemp("honest"), Rule(), None)
    assert loss < 0.8, "it learns"
    return loss


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("rule", ["median", "trimmed"])
def test_robust_rules_get_where_they_would_get_without_liars(rule, lie, honest_loss, tmp_path):
    assert loss_after(tmp_path, Rule(rule), LIES[lie]) < honest_loss + 0.02


def test_a_mean_without_a_bound_is_led_away(honest_loss, tmp_path):
    assert loss_after(tmp_path, Rule("mean", clip=math.inf), turned_around) > 1.0


@pytest.mark.parametrize("lie", ["nan", "huge"])
def test_impossible_losses_harm_no_rule(lie, honest_loss, tmp_path):
    assert loss_after(tmp_path, Rule(clip=math.inf), LIES[lie]) < honest_loss + 0.02


def test_a_spent_budget_that_nobody_has_is_an_answer_that_is_missing(tmp_path):
    def spent(question):
        return pack_answer(Answer(SPENT, read_question(question).attempt, 0))

    clients = InProcess({1: vector_client(tmp_path / "1", TARGET), 2: spent})
    with pytest.raises(TooFewAnswersError, match="2 rounds in a row"):
        serve(tmp_path / "server", config(STEPS), terms(least=2, patience=2), clients)
