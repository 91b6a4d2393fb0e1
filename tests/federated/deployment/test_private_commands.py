"""`pocketllm federate simulate --private` to its end, what reads such a run, and bad input."""

import json
import sys

import pytest

pytest.importorskip("dp_accounting", reason="dp-accounting is not installed: make federated")

from small_runs import rows, write_tsv

from pocketllm.federated.privacy.accountant import epsilon_of
from pocketllm.federated.privacy.ledger import Ledger
from pocketllm.runtime import cli
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

pytestmark = pytest.mark.flower
LEVELS = ["example", "client"]
PRIVATE = ("--private=6", "--batch_size=8", "--clip=5", "--clients=3")


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    return write_tsv(tmp_path_factory.mktemp("data") / "train.tsv", rows(60, seed=5))


@pytest.fixture
def simulate(golden_bundle, data_file, tmp_path):
    """Runs a private simulation: (*flags) -> exit code."""

    def run(*flags):
        return cli.main(
            ["federate", "simulate", f"--bundle={golden_bundle.folder}", f"--data={data_file}",
             f"--run={tmp_path / 'fed'}", "--steps=4", "--lr=1e-3", "--threads=1", *PRIVATE, *flags]
        )  # fmt: skip

    return run


@pytest.mark.parametrize("level", LEVELS)
def test_a_private_run_says_what_it_promises_and_is_verified(level, simulate, tmp_path, capsys):
    folder, result = tmp_path / "fed", tmp_path / "result.json"
    assert simulate(f"--private_level={level}", f"--json={result}") == cli.DONE
    assert f"private: epsilon 6, delta 1e-05 for one {level}" in capsys.readouterr().out.replace(
        "one example of a client", "one example"
    )

    private = read_journal(folder / JOURNAL).header["private"]
    assert private == json.loads((folder / "config.json").read_text())["private"]
    assert private == json.loads(result.read_text())["private"]
    assert private["releases"] == 4
    assert private["sampling_rate"] == (8 / 20 if level == "example" else 1.0)
    numbers = [private[name] for name in ("noise_multiplier", "sampling_rate", "releases")]
    assert 5.99 < epsilon_of(*numbers, private["delta"]) <= 6.0

    runs = ",".join(str(path) for path in sorted((folder / "clients").iterdir()))
    code = cli.main(["federate", "verify", f"--run={folder}", f"--runs={runs}"])
    assert code == cli.DONE
    assert "private: epsilon 6" in capsys.readouterr().out


def test_every_client_counts_what_it_sent(simulate, tmp_path):
    assert simulate("--fraction=0.4", "--steps=6", "--round_steps=2") == cli.DONE

    folder = tmp_path / "fed"
    spent = [Ledger(path).spent for path in sorted((folder / "clients").iterdir())]
    assert spent == [2, 2, 2] and read_journal(folder / JOURNAL).header["private"]["releases"] == 2


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_that_goes_on_keeps_its_budget_and_stops_where_it_is_spent(
    level, simulate, tmp_path, capsys
):
    flags = (f"--private_level={level}",)
    assert simulate(*flags) == cli.DONE
    before = read_journal(tmp_path / "fed" / JOURNAL).header

    code = simulate(*flags, "--steps=9")

    assert code == cli.FAILED
    error = capsys.readouterr().err
    assert "the privacy budget does not last" in error and "keeps its 4 steps" in error
    journal = read_journal(tmp_path / "fed" / JOURNAL)
    assert journal.header == before and len(journal.steps) == 4


def test_other_terms_of_privacy_are_another_run(simulate, capsys):
    assert simulate() == cli.DONE

    assert simulate("--private=7") == cli.BAD_INPUT
    assert "holds a run with another config (private" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--private=0"], "--private=0: expected 0.001 or more"),
        (["--private=-1"], "--private=-1: expected 0.001 or more"),
        (["--private=nan"], "expected 0.001 or more"),
        (["--private=1e-4"], "expected 0.001 or more"),
        (["--delta=1"], "--delta=1: expected a number between 0 and 1"),
        (["--clip=0"], "--clip=0: with --private expected a number above 0"),
        (["--batch_size=7"], "--batch_size=7: with --private expected 8 or more"),
        (["--batch_size=21"], "clients have 20 examples or more"),
        (["--optimizer=fzoo"], "with --private expected mezo"),
        (["--private_level=client", "--aggregate=median"], "is for the mean"),
        (["--private_level=client", "--fraction=0"], "expected more than 0"),
    ],
)
def test_bad_input_is_one_line(flags, words, simulate, tmp_path, capsys):
    assert simulate(*flags) == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "fed" / JOURNAL).exists()


def test_without_dp_accounting_it_says_what_to_install(simulate, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)

    assert simulate() == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert "--private needs dp-accounting, which is not installed" in error
    assert "pocketllm[privacy]" in error and error.count("\n") == 1
