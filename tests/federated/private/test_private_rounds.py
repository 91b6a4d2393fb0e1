"""The server of a private federation: what it notes, when it stops, and what a report says."""

from dataclasses import replace
from functools import partial

import pytest
from federations import ALL, client_of
from private_plans import EPS, config_with, plan
from small_runs import Stop

from pocketllm.benchmarks.report.data import known_losses, read_runs, summarise
from pocketllm.benchmarks.report.text import runs_table
from pocketllm.federated import rounds
from pocketllm.federated.answering import answer
from pocketllm.federated.audit import recompute, server_journal
from pocketllm.federated.privacy.ledger import LEDGER, Ledger
from pocketllm.federated.privacy.plan import CLIENT
from pocketllm.federated.round_lines import ROUNDS, read_rounds
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

pytest_plugins = ["runtime_fixtures", "private_fixtures"]


@pytest.fixture
def central(golden_bundle, model, data, tmp_path):
    """Serves at the client level: (**of the plan) -> the server's folder."""

    def run(**changes):
        private = plan(CLIENT, **{"members": 2, "noise_multiplier": 1.0} | changes)
        config = config_with(golden_bundle, data, private)
        clients = {n: client_of(tmp_path / str(n), model, data) for n in (1, 2)}
        grid = InProcess({n: partial(answer, client) for n, client in clients.items()})
        serve(tmp_path / "server", config, replace(ALL, round_steps=2), grid)
        return tmp_path / "server"

    return run


def test_the_server_notes_the_noised_mean_and_nobodys_answer(central):
    folder = central(clip=0.5, releases=2)

    lines = read_rounds(folder)
    slopes = [slope for line in lines for slope in line.released]
    recorded = [step.losses for step in read_journal(folder / JOURNAL).steps]
    assert [line.answers for line in lines] == [{}, {}] and len(slopes) == 4
    assert recorded == [(slope * EPS, -slope * EPS) for slope in slopes]
    assert recompute(folder, server_journal(folder)) == 4
    # two steps bounded together to 0.5, over two clients, and six standard deviations of noise
    assert max(map(abs, slopes)) < 0.5 + 6 * 0.5 / 2


def test_without_noise_a_step_is_that_of_a_federation_that_promises_nothing(
    central, golden_bundle, model, data, tmp_path
):
    released = read_rounds(central(clip=1e3, noise_multiplier=1e-12))[0].released
    grid = InProcess({1: partial(answer, client_of(tmp_path / "open", model, data))})
    serve(tmp_path / "plain", config_with(golden_bundle, data, None), ALL, grid)

    plus, minus = read_journal(tmp_path / "plain" / JOURNAL).steps[0].losses
    assert abs(plus - minus) / (2 * EPS) > 0.1, "gradients of nothing prove nothing"
    assert released[0] == pytest.approx((plus - minus) / (2 * EPS), abs=2 * 1e3 / 65536)


def test_the_servers_budget_ends_the_run(central, tmp_path):
    with pytest.raises(RunError, match="all 1 releases are spent; the run keeps its 2 steps"):
        central(releases=1)

    with pytest.raises(RunError, match="all 1 releases are spent"):
        central(releases=1)
    assert Ledger(tmp_path / "server").spent == 1


def test_a_round_that_a_kill_cut_off_is_released_once(central, tmp_path, monkeypatch):
    def killed(*arguments):
        raise Stop

    with monkeypatch.context() as context:
        context.setattr(rounds, "append_round", killed)
        with pytest.raises(Stop):
            central(releases=2)
    (before,) = (tmp_path / "server" / LEDGER).read_text().splitlines()

    folder = central(releases=2)

    assert (folder / LEDGER).read_text().startswith(before)
    assert Ledger(folder).spent == 2 and len(read_journal(folder / JOURNAL).steps) == 4
    assert str(list(read_rounds(folder)[0].released)) in before
    assert (folder / ROUNDS).exists()


def test_clients_are_asked_in_turn_where_budgets_must_last(golden_bundle, model, data, tmp_path):
    config = config_with(golden_bundle, data, plan(releases=2), steps=4)
    clients = {n: client_of(tmp_path / str(n), model, data) for n in (1, 2)}
    grid = InProcess({n: partial(answer, client) for n, client in clients.items()})

    serve(tmp_path / "server", config, replace(ALL, share=0.5), grid)

    assert {n: Ledger(tmp_path / str(n)).spent for n in (1, 2)} == {1: 2, 2: 2}


def test_no_loss_is_recorded_and_a_report_leaves_it_out(golden_bundle, model, data, tmp_path):
    config = config_with(golden_bundle, data, plan(noise_multiplier=1.0))
    grid = InProcess({1: partial(answer, client_of(tmp_path / "client", model, data))})
    serve(tmp_path / "server", config, ALL, grid)

    for line in read_rounds(tmp_path / "server"):
        for plus, minus in (losses for losses in line.answers.values()):
            assert plus == -minus != 0, "both sides of nothing"
    (run,) = read_runs([tmp_path / "server"])
    row = summarise(run)
    assert row["first_loss"] is row["last_loss"] is row["lowest_loss"] is None
    assert known_losses(run) == [] and len(run.steps) == 4
    assert "| – | – | – |" in runs_table([row])
