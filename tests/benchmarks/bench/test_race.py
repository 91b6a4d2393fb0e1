"""`pocketllm bench --race`: what it runs, searches and reports; a race goes on where it stopped."""

import json
import math

import pytest
from small_runs import complaint, pocketllm

from pocketllm.benchmarks.bench.race.arms import ARMS, SEARCH_SEED, arms_named, seeds_of
from pocketllm.benchmarks.bench.race.figure import race_figure
from pocketllm.benchmarks.bench.race.report import mean_curve
from pocketllm.benchmarks.bench.race.search import MOST_RATES, neighbour, search_rate
from pocketllm.benchmarks.report.figures import STYLE
from pocketllm.runtime.errors import InputError, RunError

MEZO = ARMS["mezo"]
RATES = [3e-4, 1e-3, 3e-3, 1e-2]  # where the lowest of the first three is best


def course_of(loss_of):
    """Returns a function that makes up what came of a trial, and the list of rates it was given."""
    rates = []

    def run(trial):
        assert trial.seed == SEARCH_SEED and not trial.compared
        rates.append(trial.lr)
        loss = loss_of(trial.lr)
        points = [{"step": 0, "loss": 0.7}, {"step": 5, "loss": loss}, {"step": 10, "loss": 0.9}]
        return {"lr": trial.lr, "curve": None if math.isnan(loss) else points}

    return run, rates


def parabola(best):
    """Returns a dev loss that is lowest at one rate."""
    return lambda lr: 0.3 + 0.01 * (math.log10(lr) - math.log10(best)) ** 2


@pytest.mark.parametrize("best", [1e-5, 3e-4, 3e-3, 3e-2])
def test_the_grid_grows_until_its_best_rate_is_no_end_of_it(best):
    run, rates = course_of(parabola(best))

    chosen, results = search_rate(MEZO, 10, run)

    assert chosen == pytest.approx(best)
    assert [result["lr"] for result in results] == sorted(rates)
    assert min(rates) < chosen < max(rates) or len(rates) == MOST_RATES
    assert len(rates) == len(set(rates)) <= MOST_RATES


def test_a_rate_whose_loss_did_not_stay_finite_is_the_worst():
    run, rates = course_of(lambda lr: math.nan if lr > 5e-4 else parabola(1e-2)(lr))

    chosen, _ = search_rate(MEZO, 10, run)

    assert chosen == 3e-4 and min(rates) == 1e-4
    with pytest.raises(RunError, match="no learning rate of 1e-05, .* 0.01 kept the loss finite"):
        search_rate(MEZO, 10, course_of(lambda lr: math.nan)[0])


def test_the_grid_has_two_rates_a_decade():
    rates = [1e-5]
    for _ in range(6):
        rates.append(neighbour(rates[-1], 1))

    assert rates == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    assert [neighbour(rate, -1) for rate in rates[1:]] == rates[:-1]


def test_arms_get_as_many_steps_as_the_budget_pays_for():
    adam, mezo = arms_named(["adam", "mezo", "adam"], 300)

    assert (adam.steps(300), mezo.steps(300)) == (100, 150)
    assert arms_named(["mezo"], 2)[0].steps(2) == 1
    with pytest.raises(InputError, match="a step of adam counts 3"):
        arms_named(["mezo", "adam"], 2)
    with pytest.raises(InputError, match="no arm 'sgd'"):
        arms_named(["sgd"], 300)
    with pytest.raises(InputError, match="--arms is empty"):
        arms_named([], 300)


@pytest.mark.parametrize("texts", [[], ["a"], ["-1"], [str(SEARCH_SEED)], ["0", "1.5"]])
def test_seeds_that_a_run_cannot_have_are_refused(texts):
    assert seeds_of(["2", "0", "2"]) == [0, 2]
    with pytest.raises(InputError, match="--seeds"):
        seeds_of(texts)


def test_a_mean_curve_has_the_steps_of_all():
    def point(step, value):
        return {"step": step, "seconds": 10 * value, "accuracy": value, "loss": 2 * value}

    curves = [{"curve": [point(0, 1.0), point(5, 2.0)]}, {"curve": [point(0, 3.0)]}]

    assert mean_curve(curves) == [{"step": 0, "seconds": 20.0, "accuracy": 2.0, "loss": 4.0}]
    assert mean_curve([]) == []


@pytest.mark.desktop
def test_the_figure_holds_the_names_of_all_arms():
    import matplotlib

    curve = [{"step": step, "seconds": step, "accuracy": 0.5, "loss": 1.0} for step in range(2)]
    arms = [
        {"arm": name, "lr": 3e-4, "trials": [{"curve": curve}], "mean_curve": curve}
        for name in ARMS
    ]
    with matplotlib.rc_context(STYLE):
        figure = race_figure({"arms": arms})
        figure.draw_without_rendering()
        (legend,) = figure.legends
        names = [text.get_window_extent() for text in legend.get_texts()]

    assert len(names) == len(ARMS)
    assert all(figure.bbox.x0 < name.x0 and name.x1 < figure.bbox.x1 for name in names)


@pytest.fixture(scope="module")
def race(make_checkpoint, end_search, tmp_path_factory):
    """A race of Adam alone on a tiny model: (its folder, its flags)."""
    out = tmp_path_factory.mktemp("race") / "out"
    flags = [
        f"--model={make_checkpoint(max_position_embeddings=70)}",
        f"--out={out}",
        "--forwards=6",
        "--seeds=0,1",
    ]
    for more in (["--budget=1e-9"], []):
        done = pocketllm("bench", "--race", *flags, "--arms=adam", *more, timeout=600)
        assert done.returncode == 0, done.stderr
        end_search(out, "adam")
    return out, flags


@pytest.mark.desktop
def test_a_race_goes_on_with_another_arm_and_reports_both(race):
    out, flags = race
    before = {path: path.stat().st_mtime_ns for path in out.glob("results/*.json")}
    assert sorted(path.stem for path in before) == [
        "adam-0.0003-search", "adam-0.001-search", "adam-0.001-seed0", "adam-0.001-seed1",
        "adam-0.003-search", "untuned",
    ]  # fmt: skip
    kept = out / "results" / "mezo-0.001-search.json"
    kept.write_text(json.dumps({"lr": 1e-3, "curve": [{"step": 1, "loss": -1.0}]}))

    done = pocketllm("bench", "--race", *flags, f"--json={out}.json", timeout=600)

    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is run again"
    result = json.loads((out / "report.json").read_text())
    assert result == json.loads(out.with_name("out.json").read_text())
    adam, mezo = result["arms"]
    assert (adam["steps"], adam["forwards"], mezo["steps"], mezo["forwards"]) == (2, 6, 3, 6)
    assert (mezo["lr"], [trial["lr"] for trial in mezo["searched"]]) == (1e-3, RATES)
    assert [point["step"] for point in mezo["mean_curve"]] == [0, 1, 2, 3]
    assert result["untuned"]["examples"] == 872
    for arm in result["arms"]:
        for trial in arm["trials"]:
            assert trial["held_out"]["examples"] == 872
            best = max(point["accuracy"] for point in trial["curve"])
            at = {point["step"]: point["accuracy"] for point in trial["curve"]}
            assert at[trial["held_out"]["step"]] == best
        mean = sum(trial["held_out"]["accuracy"] for trial in arm["trials"]) / 2
        assert arm["held_out_accuracy"] == pytest.approx(mean)
        assert f"{100 * mean:.1f}%" in done.stdout
    assert (
        f"| MeZO | 0.001, linear | 3 | 6 | {100 * mezo['held_out_accuracy']:.1f}%"
        in (out / "report.md").read_text()
    )
    assert {"curves.png", "curves.svg", "report.md", "bundle", "runs"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.desktop
def test_a_folder_of_another_race_is_refused(race, tmp_path):
    out, flags = race
    complaint(
        pocketllm("bench", "--race", *flags, "--forwards=9"), 2,
        f"{out}: holds another race (forwards 6 -> 9); choose another --out",
    )  # fmt: skip
    (tmp_path / "file").touch()
    complaint(
        pocketllm("bench", "--race", *flags, f"--out={tmp_path}"), 2, "exists and holds no race"
    )


@pytest.mark.desktop
def test_a_model_that_is_refused_leaves_no_race_behind(tmp_path):
    flags = ["bench", "--race", f"--out={tmp_path / 'out'}"]
    for model in ("nowhere", "roberta-base"):
        complaint(pocketllm(*flags, f"--model={model}"), 2, f"--model={model}")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--out=x"], "--model is missing"),
        (["--model=x"], "--out is missing"),
        (["--model=x", "--out=x", "--tune=full"], "knows learning rates of LoRA alone"),
        (["--model=x", "--out=x", "--engine=tflite"], "--race trains in litert"),
        (["--model=x", "--out=x", "--steps=3"], "--steps is no part of --race"),
        (["--model=x", "--out=x", "--signal"], "--signal is no part of --race"),
        (["--model=x", "--out=x", "--arms=sgd"], "no arm 'sgd'"),
    ],
)
@pytest.mark.desktop
def test_flags_that_make_no_race_are_refused(flags, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    complaint(pocketllm("bench", "--race", *flags), 2, problem)
    assert not list(tmp_path.iterdir())


@pytest.mark.desktop
def test_its_flags_go_with_it_alone():
    complaint(pocketllm("bench", "--arms=adam"), 2, "--arms goes with --race")
