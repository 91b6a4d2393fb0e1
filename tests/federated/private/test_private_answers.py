"""A private federation on a real model: what leaves a client, and when it answers no more."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from federations import ALL, client_of
from private_plans import BATCH, EPS, EXAMPLES, config_with, plan

from pocketllm.federated.answering import answer
from pocketllm.federated.privacy.ledger import LEDGER, Ledger
from pocketllm.federated.privacy.plan import CLIENT, EXAMPLE
from pocketllm.federated.privacy.promise import Promise
from pocketllm.federated.protocol import (
    LOSSES,
    REFUSED,
    SLOPES,
    SPENT,
    Question,
    pack_answer,
    pack_question,
    read_answer,
)
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.terms import Watcher
from pocketllm.runtime.data.dataset import batches_of
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

pytest_plugins = ["runtime_fixtures", "private_fixtures"]


def first_question(folder, config, steps=1):
    """Returns the first question of a federation; its server's journal is begun."""
    with pytest.raises(RunError):
        serve(folder, config, replace(ALL, patience=1), InProcess({1: lambda question: b""}))
    header = (folder / JOURNAL).read_bytes()
    checksum = read_journal(folder / JOURNAL).checksums[0]
    return pack_question(Question(5, 1, steps, 0, checksum, header))


def row_slopes(model, data, number, seed=0):
    """Returns the projected gradient of each example, one row at a time."""
    own = step_seed(seed, number)
    rows = [batches_of(data, model.bundle, [place]) for place in range(len(data.examples))]
    model.perturb(own, EPS)
    plus = [model.loss(row) for row in rows]
    model.perturb(own, -2 * EPS)
    minus = [model.loss(row) for row in rows]
    model.perturb(own, EPS)
    return (np.array(plus) - np.array(minus)) / (2 * EPS)


def test_an_answer_is_the_mean_of_bounded_gradients_and_holds_no_loss(
    golden_bundle, model, data, tmp_path
):
    """Every example takes part, and the noise is next to nothing."""
    data = replace(data, examples=data.examples[:BATCH])
    slopes = row_slopes(model, data, 1)
    clip = float(np.median(np.abs(slopes)))
    assert (np.abs(slopes) > clip).any() and (np.abs(slopes) < clip).any()
    config = config_with(golden_bundle, data, plan(clip=clip, sampling_rate=1.0))

    client = client_of(tmp_path / "client", model, data)
    sent = answer(client, first_question(tmp_path / "server", config))

    reply = read_answer(sent)
    expected = np.clip(slopes, -clip, clip).mean()
    # the grid, and float32 losses of rows beside others: 2.4e-7 / 2 eps
    assert reply.slopes[0] == pytest.approx(expected, abs=clip / 65536 + 2.4e-5)
    assert reply.kind == SLOPES and reply.losses == ()
    assert sent == pack_answer(replace(reply, losses=())) and len(sent) == 29 + 8


def test_an_empty_sample_is_answered_with_noise(golden_bundle, model, data, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketllm.federated.example_slopes.sampled", lambda count, rate: [])
    config = config_with(golden_bundle, data, plan(noise_multiplier=2.0))

    client = client_of(tmp_path / "client", model, data)
    reply = read_answer(answer(client, first_question(tmp_path / "server", config)))

    assert reply.kind == SLOPES and 0 < abs(reply.slopes[0]) < 6 * 2.0 / BATCH


def test_a_row_that_is_no_number_ends_nothing_and_weighs_nothing(
    golden_bundle, model, data, tmp_path, monkeypatch
):
    """A refusal would tell of it."""
    monkeypatch.setattr(
        "pocketllm.federated.example_slopes.row_losses",
        lambda model, batch: np.full(batch.rows, np.nan),
    )
    config = config_with(golden_bundle, data, plan())

    client = client_of(tmp_path / "client", model, data)
    reply = read_answer(answer(client, first_question(tmp_path / "server", config)))

    assert reply.kind == SLOPES and abs(reply.slopes[0]) < 1e-6


def test_the_same_question_again_is_the_same_release(golden_bundle, model, data, tmp_path):
    config = config_with(golden_bundle, data, plan(noise_multiplier=1.0))
    client = client_of(tmp_path / "client", model, data)
    question = first_question(tmp_path / "server", config, steps=2)

    answers = {answer(client, question) for _ in range(3)}

    assert len(answers) == 1 and len(read_answer(answers.pop()).slopes) == 2
    assert Ledger(tmp_path / "client").spent == 2


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_spent_budget_is_answered_no_more_whoever_restarts(
    is_counted, golden_bundle, model, data, tmp_path
):
    config = config_with(golden_bundle, data, plan(releases=3), steps=9)
    lines = []

    def serve_once():  # a client and a server that know nothing of those before
        grid = InProcess({1: partial(answer, client_of(tmp_path / "client", model, data))})
        serve(tmp_path / "server", config, ALL, grid, watcher=Watcher(say=lines.append))

    for _ in range(2):
        with pytest.raises(RunError, match="the privacy budget does not last"):
            serve_once()
        if not is_counted:  # then every step counts as answered
            (tmp_path / "client" / LEDGER).unlink()

    assert len(read_journal(tmp_path / "server" / JOURNAL).steps) == 3
    assert "client 1: not used: the privacy budget is spent: 3 of 3 releases" in lines[0]


def test_a_question_beyond_the_budget_is_said_to_be(golden_bundle, model, data, tmp_path):
    config = config_with(golden_bundle, data, plan(releases=3), steps=9)
    client = client_of(tmp_path / "client", model, data)

    reply = read_answer(answer(client, first_question(tmp_path / "server", config, steps=4)))

    assert reply.kind == SPENT and reply.slopes == ()
    assert not (tmp_path / "client" / LEDGER).read_bytes()


def test_a_client_with_fewer_examples_than_planned_refuses(golden_bundle, model, data, tmp_path):
    config = config_with(golden_bundle, data, plan())
    few = replace(data, examples=data.examples[: EXAMPLES - 1])

    client = client_of(tmp_path / "client", model, few)
    reply = read_answer(answer(client, first_question(tmp_path / "server", config)))

    assert reply.kind == REFUSED and "this client has 11 examples" in reply.text


@pytest.mark.parametrize(
    ("private", "promise", "words"),
    [
        (None, Promise(6.0, 1e-5), "promises nothing"),
        (plan(), Promise(5.0, 1e-5), "promises epsilon 6, delta 1e-05; this client asks for 5"),
        (plan(), Promise(6.0, 1e-6), "asks for 6, 1e-06 or less"),
        (plan(CLIENT), Promise(6.0, 1e-5), "promises privacy at the client level"),
    ],
)
def test_a_client_that_asks_for_more_than_is_promised_refuses(
    private, promise, words, golden_bundle, model, data, tmp_path
):
    config = config_with(golden_bundle, data, private)

    client = client_of(tmp_path / "client", model, data, promise=promise)
    reply = read_answer(answer(client, first_question(tmp_path / "server", config)))

    assert reply.kind == REFUSED and words in reply.text


@pytest.mark.parametrize("level", [EXAMPLE, CLIENT])
def test_losses_are_no_answer_in_a_private_federation(level, golden_bundle, data, tmp_path):
    config = config_with(golden_bundle, data, plan(level))
    lines = []

    def tells_losses(question):
        reply = read_answer(pack_answer(read_answer(b"PLLMANS1" + bytes(21))))
        attempt = int.from_bytes(question[8:12], "little")
        return pack_answer(replace(reply, kind=LOSSES, attempt=attempt, losses=(0.5, 0.25)))

    with pytest.raises(RunError, match="fewer than"):
        grid = InProcess({1: tells_losses})
        terms = replace(ALL, patience=1)
        serve(tmp_path / "s", config, terms, grid, watcher=Watcher(say=lines.append))
    assert lines == ["client 1: not used: slopes or losses, the other is expected"]
