"""`pocketllm federate compare` at tiny sizes: what it runs, goes on with, reports; who lies."""

import json
import math

import numpy as np
import pytest
from small_runs import rows, write_tsv

from pocketllm.federated.aggregation import aggregate, usual_slope
from pocketllm.federated.comparison.arms import ARMS, compared_arms
from pocketllm.federated.comparison.lies import LIES, lying
from pocketllm.federated.comparison.report import below
from pocketllm.federated.comparison.trials import Course, parts_of
from pocketllm.federated.protocol import BEHIND, LOSSES, Answer, pack_answer, read_answer
from pocketllm.runtime import cli
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

STEPS, SEED_RUNS = 3, "results/iid-*-seed*.json"


@pytest.fixture(scope="module")
def compared(golden_bundle, tmp_path_factory):
    """A comparison of two arms on a tiny model: (its folder, a function that runs it again)."""
    folder = tmp_path_factory.mktemp("comparison")
    data = write_tsv(folder / "data.tsv", rows(60, seed=5))

    def run(*flags):
        return cli.main([
            "federate", "compare", f"--bundle={golden_bundle.folder}", f"--out={folder / 'out'}",
            *(f"--{name}={data}" for name in ("train", "dev", "held_out")), "--clients=20",
            "--fraction=0.25", f"--steps={STEPS}", "--batch_size=1", "--threads=1", *flags,
        ])  # fmt: skip

    assert run("--arms=central,iid", "--seeds=0") == cli.DONE
    return folder / "out", run


@pytest.mark.desktop
def test_every_arm_takes_its_steps_on_as_many_rows(compared):
    out, _ = compared
    result = json.loads((out / "report.json").read_text())

    assert [arm["arm"] for arm in result["arms"]] == ["central", "iid"]
    assert all(len(arm["searched"]) >= 3 for arm in result["arms"]), "both search"
    rows_of_step = {}
    for arm in result["arms"]:
        (trial,) = arm["trials"]
        run = out / "runs" / f"{arm['arm']}-{arm['lr']:g}-seed0"
        assert trial["steps"] == len(read_journal(run / JOURNAL).steps) == STEPS
        assert [point["step"] for point in trial["curve"]] == [0, 1, 2, 3]
        batch = json.loads((run / "config.json").read_text())["batch_size"]
        rounds = (run / "rounds.jsonl").read_text().splitlines() if arm["arm"] == "iid" else []
        rows_of_step[arm["arm"]] = {batch * len(json.loads(r)["answers"]) for r in rounds} or {
            batch
        }
    assert rows_of_step == {"central": {5}, "iid": {5}}
    text = (out / "report.md").read_text()
    assert "| federated, alpha inf |" in text and "--clients=20" in text
    assert (out / "curves.svg").stat().st_size > 0


@pytest.mark.desktop
def test_a_comparison_goes_on_with_other_arms_and_seeds(compared):
    out, run = compared
    before = {path: path.stat().st_mtime_ns for path in out.glob("results/*.json")}

    assert run("--arms=iid,unbounded-turned", "--seeds=0,1") == cli.DONE

    assert {path: path.stat().st_mtime_ns for path in before} == before
    result = json.loads((out / "report.json").read_text())
    iid, turned = result["arms"]
    assert [len(arm["held_out_accuracies"]) for arm in (iid, turned)] == [2, 2]
    assert iid["lr"] == turned["lr"] and turned["searched"] == []
    assert below(iid, result["arms"]) is None, "central did not run"


@pytest.mark.desktop
def test_another_comparison_is_refused(compared, capsys):
    _, run = compared

    assert run("--batch_size=2") == cli.BAD_INPUT
    assert "holds another comparison (batch_size 1 -> 2)" in capsys.readouterr().err
    assert run("--arms=median-nan", "--fraction=0.05") == cli.BAD_INPUT
    assert "1 clients a round" in capsys.readouterr().err
    with pytest.raises(InputError, match="no arm 'krum'"):
        compared_arms(["krum"])


def test_a_run_on_all_data_has_the_clients_examples(golden_bundle, tmp_path):
    data = load_dataset(write_tsv(tmp_path / "d.tsv", rows(47, seed=5)), golden_bundle)
    course = Course(tmp_path, None, data, data, data, clients=10, per_round=5, batch_size=1)  # type: ignore[arg-type]

    (whole,) = parts_of(course, ARMS["central"], 3)
    parts = parts_of(course, ARMS["iid"], 3)

    assert [len(part.examples) for part in parts] == [4] * 10
    assert {id(e) for part in parts for e in part.examples} == {id(e) for e in whole.examples}
    assert len(parts_of(course, ARMS["ten"], 3)) == 5


def test_only_the_first_clients_lie_and_only_about_losses():
    altered = lying("-10 times the truth", 2)
    honest = pack_answer(Answer(LOSSES, 7, 3, b"12345678", (1.5, 1.0)))
    behind = pack_answer(Answer(BEHIND, 7, 3))

    assert altered(3, honest) == honest and altered(1, behind) == behind
    plus, minus = read_answer(altered(2, honest)).losses
    assert plus - minus == -10 * (1.5 - 1.0) and (plus + minus) / 2 == 1.25
    assert lying(None, 2)(1, honest) == honest


def test_each_lie_is_what_it_is_called():
    assert all(map(math.isnan, LIES["NaN"]([1.0, 2.0])))
    assert max(LIES["1e30"]([1.0, 2.0])) == 1e30


@pytest.mark.parametrize("rule", ["median", "trimmed", "mean"])
def test_two_liars_of_ten_turn_a_mean_around_and_no_robust_rule(rule):
    rng = np.random.default_rng(3)
    slopes = rng.normal(0.02, 0.004, 10)
    table = [[0.5 + slope, 0.5 - slope] for slope in slopes]
    lies = [LIES["-10 times the truth"](losses) for losses in table[:2]]
    terms = ARMS["unbounded-turned" if rule == "mean" else f"{rule}-turned"].rule

    plus, minus = aggregate([*lies, *table[2:]], 2, terms, usual_slope(table, 2))

    assert (plus - minus < 0) == (rule == "mean")
