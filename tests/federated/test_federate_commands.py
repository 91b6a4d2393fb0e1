"""`pocketllm federate` in this process: a run is an ordinary one, and bad input is one line."""

import json
import math
import os
import shutil
import struct
import zlib

import pytest
from simulations import CLIENTS, federate, simulate

from pocketllm.federated.round_lines import ROUNDS
from pocketllm.runtime import cli
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

pytest_plugins = ["simulations"]


def clients_of(folder):
    return ",".join(str(path) for path in sorted((folder / "clients").iterdir()))


def test_a_simulation_takes_its_steps_on_all_clients(simulated):
    assert len(read_journal(simulated / JOURNAL).steps) == 4
    counts = [len(read_journal(p / JOURNAL).steps) for p in (simulated / "clients").iterdir()]
    assert counts == [3] * CLIENTS, "all but the last round's"


def test_a_federations_run_is_evaluated_like_any_other(
    simulated, golden_bundle, data_file, tmp_path, capsys
):
    run, bundle = f"--run={simulated}", f"--bundle={golden_bundle.folder}"

    assert cli.main(["eval", bundle, run, f"--data={data_file}", "--threads=1"]) == cli.DONE
    assert "at step 4: accuracy" in capsys.readouterr().out
    out = f"--out={tmp_path}"
    assert cli.main(["generate", bundle, run, out]) != cli.DONE, "a masked model writes no text"


@pytest.mark.desktop
def test_a_federations_run_is_reported_like_any_other(simulated, tmp_path):
    out = tmp_path / "report"

    assert cli.main(["report", str(simulated), f"--out={out}"]) == cli.DONE

    text = (out / "report.md").read_text()
    assert simulated.name in text and "| 4 |" in text
    assert (out / "curves.png").stat().st_size > 0


def test_verify_compares_seeds_joins_journals_and_parameters(
    simulated, golden_bundle, capsys, tmp_path
):
    result = tmp_path / "result.json"

    code = federate(
        "verify", f"--run={simulated}", f"--runs={clients_of(simulated)}",
        f"--bundle={golden_bundle.folder}", f"--json={result}",
    )  # fmt: skip

    assert code == cli.DONE, capsys.readouterr().err
    verdict = json.loads(result.read_text())
    assert verdict["recomputed"] == 4 and set(verdict["clients"].values()) == {3}
    assert len(verdict["sha256"]) == 64 and verdict["step"] == 3


def test_the_same_command_goes_on_where_it_was(simulated, golden_bundle, data_file, tmp_path):
    folder = tmp_path / "fed"
    assert simulate(golden_bundle, data_file, folder, "--steps=2") == cli.DONE

    assert simulate(golden_bundle, data_file, folder) == cli.DONE

    assert (folder / JOURNAL).read_bytes() == (simulated / JOURNAL).read_bytes()


def test_a_folder_in_which_nothing_can_be_verified_is_bad_input(
    simulated, golden_bundle, data_file, tmp_path, capsys
):
    def refused(*arguments):
        capsys.readouterr()
        assert federate("verify", *arguments) == cli.BAD_INPUT
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    client, copy = simulated / "clients" / "0001", tmp_path / "copy"
    assert "give the server's run directory as --run" in refused(f"--run={client}")
    shutil.copytree(simulated, copy)
    (copy / ROUNDS).write_text("")
    assert "no answers for step 1 (4 of the journal's 4 steps" in refused(f"--run={copy}")
    new = tmp_path / "new"
    assert simulate(golden_bundle, data_file, new, "--steps=1") == cli.DONE
    journal = (simulated / JOURNAL).read_bytes()
    (new / JOURNAL).write_bytes(journal[: read_journal(simulated / JOURNAL).ends[0]])
    assert "holds no step yet, so there is nothing to verify" in refused(f"--run={new}")
    assert "leave it out of --runs" in refused(f"--run={simulated}", f"--runs={new}")


@pytest.mark.parametrize("runs", ["nowhere", ",", "RUN/../fed"])
def test_folders_that_are_no_clients_are_named(runs, simulated, capsys):
    runs = runs.replace("RUN", str(simulated))

    assert federate("verify", f"--run={simulated}", f"--runs={runs}") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert "--runs=" in error and error.count("\n") == 1
    assert ("that is --run itself" if "fed" in runs else "no journal is there") in error


def chained_again(data, end, body):
    """Returns a journal's bytes with another first record, its checksums made to fit."""
    (checksum,) = struct.unpack_from("<I", data, end - 4)
    return data[:end] + body + struct.pack("<I", zlib.crc32(body, checksum))


@pytest.mark.parametrize(
    ("place", "words"),
    [(44, "does not follow from the run's seed"), (24, "is not what its clients' answers give")],
)
def test_verify_finds_a_server_that_did_not_keep_to_the_protocol(
    place, words, simulated, tmp_path, capsys
):
    journal, data = read_journal(simulated / JOURNAL), (simulated / JOURNAL).read_bytes()
    body = bytearray(data[journal.ends[0] : journal.ends[1] - 4])
    body[place + (4 if place == 24 else 0)] ^= 3
    (tmp_path / JOURNAL).write_bytes(chained_again(data, journal.ends[0], bytes(body)))
    (tmp_path / ROUNDS).write_bytes((simulated / ROUNDS).read_bytes())

    assert federate("verify", f"--run={tmp_path}") == cli.BAD_INPUT

    assert words in capsys.readouterr().err


@pytest.mark.parametrize("lost", [1, 2, 4])
@pytest.mark.parametrize("first", [None, 2, 3, 9])
def test_a_step_without_answers_is_not_verified(lost, first, simulated, tmp_path, capsys):
    """Its round's line is missing, or says that it is of another step."""
    lines = (simulated / ROUNDS).read_text().splitlines()
    assert len(lines) == 4, "a round is a step"
    line = lines.pop(lost - 1)
    if first and first != lost:
        lines.insert(0, json.dumps(json.loads(line) | {"first": first}))
    for name, text in ((JOURNAL, None), (ROUNDS, "\n".join(lines) + "\n")):
        (tmp_path / name).write_bytes(text.encode() if text else (simulated / name).read_bytes())

    assert federate("verify", f"--run={tmp_path}") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert f"has no answers for step {lost} (1 of the journal's 4 steps" in error
    assert error.count("\n") == 1


def test_a_run_that_goes_on_after_a_kill_within_a_round_is_verified(
    golden_bundle, data_file, tmp_path, capsys
):
    """Rounds are written before their records, so some are of steps that are not there yet."""
    folder, flags = tmp_path / "fed", ("--steps=8", "--round_steps=4")
    assert simulate(golden_bundle, data_file, folder, *flags) == cli.DONE
    for kept in (4, 5, 7):
        os.truncate(folder / JOURNAL, read_journal(folder / JOURNAL).ends[kept])
        assert federate("verify", f"--run={folder}") == cli.DONE, capsys.readouterr().err
        assert simulate(golden_bundle, data_file, folder, *flags) == cli.DONE
        assert federate("verify", f"--run={folder}") == cli.DONE, capsys.readouterr().err


@pytest.mark.parametrize("place", [28, 48])
@pytest.mark.parametrize("names", [(ROUNDS, "config.json"), (ROUNDS,)])
def test_verify_takes_the_steps_of_a_schedule_again(
    names, place, golden_bundle, data_file, tmp_path, capsys
):
    """Without config.json, which has the run's length, their losses alone."""
    folder, copy = tmp_path / "fed", tmp_path / "copy"
    assert simulate(golden_bundle, data_file, folder, "--lr_schedule=linear") == cli.DONE
    copy.mkdir()
    for name in (JOURNAL, *names):
        (copy / name).write_bytes((folder / name).read_bytes())
    assert federate("verify", f"--run={copy}") == cli.DONE
    journal, data = read_journal(folder / JOURNAL), (folder / JOURNAL).read_bytes()
    body = bytearray(data[journal.ends[0] : journal.ends[1] - 4])
    body[place] ^= 3
    (copy / JOURNAL).write_bytes(chained_again(data, journal.ends[0], bytes(body)))

    is_seen = place == 28 or "config.json" in names
    assert federate("verify", f"--run={copy}") == (cli.BAD_INPUT if is_seen else cli.DONE)
    assert ("is not what its clients' answers give" in capsys.readouterr().err) == is_seen


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"rule": "most"},
        {"released": [1.0, 2.0]},
        {"answers": {"1": [1.0, 2.0], "2": []}},
        {"answers": {}},
        {"answers": {"1": [1.0]}},
        {"answers": {"1": [1.0, math.nan]}},
        {"answers": {"one": [1.0, 2.0]}},
        {"absent": ["two"]},
        {"clip": math.nan},
        {"usual": -1.0},
    ],
)
def test_rounds_with_impossible_numbers_are_refused(change, simulated, tmp_path, capsys):
    (tmp_path / JOURNAL).write_bytes((simulated / JOURNAL).read_bytes())
    first, *others = (simulated / ROUNDS).read_text().splitlines()
    lines = [json.dumps(json.loads(first) | change), *others]
    (tmp_path / ROUNDS).write_text("\n".join(lines) + "\n")

    assert federate("verify", f"--run={tmp_path}") == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert "rounds.jsonl: the round of step 1 is damaged" in error and error.count("\n") == 1


def test_verify_finds_a_client_of_another_federation(
    simulated, golden_bundle, data_file, tmp_path, capsys
):
    assert simulate(golden_bundle, data_file, tmp_path / "other", "--seed=9") == cli.DONE

    code = federate("verify", f"--run={simulated}", f"--runs={tmp_path / 'other/clients/0001'}")

    assert code == cli.BAD_INPUT
    assert "is no beginning of the server's" in capsys.readouterr().err


def test_split_writes_a_file_a_client(golden_bundle, data_file, tmp_path, capsys):
    arguments = (
        f"--bundle={golden_bundle.folder}", f"--data={data_file}", "--clients=4", "--alpha=0.1",
        f"--out={tmp_path / 'parts'}",
    )  # fmt: skip
    assert federate("split", *arguments) == cli.DONE
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == [f"part-00{number}.tsv" for number in range(1, 5)]

    assert federate("split", *arguments) == cli.BAD_INPUT
    assert "exists and is not empty" in capsys.readouterr().err
    under = f"{data_file}/new/parts"
    assert federate("split", *arguments[:-1], f"--out={under}") == cli.BAD_INPUT
    assert f"{under}: {data_file} is a file, expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--min_clients=4"], "there are 3 clients"),
        (["--alpha=0"], "expected a number above 0, or inf"),
        (["--clients=25"], "24 examples for 25 clients"),
        (["--eps=auto"], "nothing is measured before a federation"),
        (["--lr=-1"], "--lr=-1.0: expected 0 or more"),
        (["--optimizer=adam"], "should be one of"),
        (["--round_steps=2000"], "expected 1 to 1024"),
        (["--fraction=nan"], "--fraction=nan"),
        (["--quorum=nan"], "--quorum=nan"),
    ],
)
def test_bad_input_is_one_line(flags, words, golden_bundle, data_file, tmp_path, capsys):
    assert simulate(golden_bundle, data_file, tmp_path / "fed", *flags) == cli.BAD_INPUT

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "fed" / JOURNAL).exists()


def test_an_ordinary_run_is_not_verified(golden_bundle, data_file, tmp_path, capsys):
    run = f"--run={tmp_path / 'run'}"
    arguments = [f"--bundle={golden_bundle.folder}", f"--train={data_file}", run, "--steps=1"]
    assert cli.main(["train", *arguments, "--lr=1e-3", "--threads=1"]) == cli.DONE

    assert federate("verify", run) == cli.BAD_INPUT
    assert "an ordinary run, expected the server's of a federation" in capsys.readouterr().err


def test_what_goes_with_private_is_refused_without_it(golden_bundle, data_file, tmp_path, capsys):
    assert simulate(golden_bundle, data_file, tmp_path / "fed", "--clip=5") == cli.BAD_INPUT

    assert "--clip goes with --private" in capsys.readouterr().err
