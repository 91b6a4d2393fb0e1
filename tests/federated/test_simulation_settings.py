"""A simulation keeps its clients, says which of them refuse, and ends where all do."""

import shutil

import pytest
from simulations import CLIENTS, simulate
from small_runs import rows, write_tsv

from pocketllm.federated.simulation.settings import SIMULATION
from pocketllm.runtime import cli
from pocketllm.runtime.journal.reader import JOURNAL

pytest_plugins = ["simulations"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--clients=4", "started with --clients=3, found --clients=4"),
        ("--alpha=0.5", "started with --alpha=inf, found --alpha=0.5"),
        ("--split_seed=7", "started with --split_seed=0, found --split_seed=7"),
    ],
)
def test_other_clients_are_another_run(flag, words, simulated, golden_bundle, data_file, capsys):
    before = (simulated / JOURNAL).read_bytes()

    assert simulate(golden_bundle, data_file, simulated, "--steps=6", flag) == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert (simulated / JOURNAL).read_bytes() == before


def test_other_data_is_another_run_and_a_file_that_moved_is_not(
    golden_bundle, data_file, tmp_path, capsys
):
    folder, moved = tmp_path / "fed", tmp_path / "moved.tsv"
    moved.write_bytes(data_file.read_bytes())
    assert simulate(golden_bundle, data_file, folder, "--steps=1") == cli.DONE
    assert simulate(golden_bundle, moved, folder, "--steps=2") == cli.DONE
    write_tsv(moved, rows(24, seed=6))
    capsys.readouterr()

    assert simulate(golden_bundle, moved, folder, "--steps=3") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert f"started with --data={data_file} (sha256 " in error and error.count("\n") == 1
    assert f"found --data={moved} (" in error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "of clients that nobody knows"),
        ("{}", "simulation.json: "),
        ("no json", "simulation.json: "),
    ],
)
def test_a_run_that_does_not_say_what_its_clients_are_is_refused(
    text, words, golden_bundle, data_file, tmp_path, capsys
):
    folder = tmp_path / "fed"
    assert simulate(golden_bundle, data_file, folder, "--steps=1") == cli.DONE
    (folder / SIMULATION).unlink()
    if text is not None:
        (folder / SIMULATION).write_text(text)

    assert simulate(golden_bundle, data_file, folder, "--steps=2") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_simulation_names_each_client_that_refuses_once_and_ends(
    golden_bundle, data_file, tmp_path, capsys
):
    """The clients' folders are there, with the journals of another federation."""
    other, folder = tmp_path / "other", tmp_path / "fed"
    assert simulate(golden_bundle, data_file, other, "--seed=9", "--steps=2") == cli.DONE
    assert simulate(golden_bundle, data_file, folder, "--steps=1") == cli.DONE
    shutil.rmtree(folder / "clients")
    shutil.copytree(other / "clients", folder / "clients")
    capsys.readouterr()

    assert simulate(golden_bundle, data_file, folder) == cli.BAD_INPUT

    printed = capsys.readouterr()
    for client in range(1, CLIENTS + 1):
        lines = [line for line in printed.out.splitlines() if f"clients/{client:04}" in line]
        assert len(lines) == 1 and f"client {client}: not used: " in lines[0], printed.out
    assert "all clients refuse, 3 rounds in a row" in printed.err and printed.err.count("\n") == 1


def test_a_simulation_whose_losses_are_no_numbers_is_a_failure(
    golden_bundle, data_file, tmp_path, capsys
):
    code = simulate(golden_bundle, data_file, tmp_path / "fed", "--lr=1e30", "--steps=20")

    error = capsys.readouterr().err
    assert code == cli.FAILED, error
    assert "all clients refuse" in error and error.count("\n") == 1
