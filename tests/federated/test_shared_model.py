"""Clients of one process on one model: the records of clients with models of their own."""

from dataclasses import replace

import pytest
from federations import ALL, client_of, parts_of, run_federation
from small_runs import ZEROTH_ORDER, zeroth_order_config
from stand_ins import config as vector_config
from stand_ins import terms, vector_client

from pocketllm.federated.round_lines import read_rounds
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess, grid_of
from pocketllm.federated.steps import NO_DATA
from pocketllm.runtime.journal.reader import JOURNAL

pytest_plugins = ["runtime_fixtures"]

CLIENTS, EXAMPLES = 4, 3
SOME = replace(ALL, share=0.5)


@pytest.mark.parametrize("round_steps", [1, 3])
@pytest.mark.parametrize("kind", ZEROTH_ORDER)
def test_clients_on_a_shared_model_measure_what_they_measure_alone(
    kind, round_steps, golden_bundle, train_data, open_ready, tmp_path
):
    terms = replace(SOME, round_steps=round_steps)
    config = zeroth_order_config(kind, golden_bundle, train_data, weight_decay=0.1)
    config = replace(config, train_sha256=NO_DATA)
    parts = parts_of(train_data, CLIENTS, EXAMPLES)
    alone = [
        client_of(tmp_path / f"{number}", open_ready(golden_bundle, "litert"), part)
        for number, part in enumerate(parts)
    ]
    run_federation(tmp_path / "alone", config, alone, terms)

    grid = grid_of(open_ready(golden_bundle, "litert"), parts, tmp_path / "clients")
    serve(tmp_path / "shared", config, terms, grid)

    journals = [(tmp_path / name / JOURNAL).read_bytes() for name in ("alone", "shared")]
    assert journals[0] == journals[1]


def test_a_client_that_lacks_steps_answers_in_the_same_round(tmp_path):
    clients = {n: vector_client(tmp_path / f"{n}", 1.0) for n in range(1, 21)}

    served = serve(tmp_path / "server", vector_config(12), terms(share=0.25), InProcess(clients))

    rounds = read_rounds(tmp_path / "server")
    assert served.empty_rounds == 0
    assert [len(line.answers) for line in rounds] == [5] * 12
    assert len({client for line in rounds for client in line.answers}) > 10
