"""The code of docs/kotlin.md takes the runtime's own steps: losses, parameters, journal."""

import json
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bundle_json import rewrite
from kotlin_rows import losses_along, parameters, training_rows, write_rows
from small_runs import pocketllm

from pocketllm.runtime.data.batches import Row
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.run.replay import replay

pytestmark = pytest.mark.desktop
ORDER = Path(__file__).parents[1] / "conformance" / "order.json"
RUN = {"lr": 2e-3, "batch_size": 7, "seed": 5}


@pytest.fixture(scope="session")
def rows_of(train_tsv):
    """Returns the training rows of a bundle."""

    return partial(training_rows, train_tsv)


def train(bundle, data, run, **flags):
    """Trains by command, on one thread."""
    flags = {**RUN, "threads": 1, **flags}
    done = pocketllm(
        "train", f"--bundle={bundle.folder}", f"--train={data}", f"--run={run}",
        *(f"--{name}={value}" for name, value in flags.items()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_losses_along_a_direction_are_pythons(tune, kotlin, micro, rows_of, open_ready, tmp_path):
    bundle = micro(tune)
    rows, seed, eps = rows_of(bundle), 1001, 1e-2

    result = kotlin.well(
        tmp_path, "probe", bundle=bundle.folder, packed=tmp_path, seed=seed, eps=eps,
        rows=write_rows(tmp_path / "rows.json", rows),
    )  # fmt: skip

    assert len(rows) > 2 * bundle.batch_size and max(row.tokens for row in rows) > 16
    model = open_ready(bundle, "litert")
    assert result.numbers("losses") == [losses_along(model, rows, seed=seed, eps=eps)]


@pytest.mark.parametrize(
    "tune, decay",
    [("full", 0.01), ("lora", 0.0), ("lora", 1e-4), ("pairs", 0.0), ("pairs", 1e-4)],
)
def test_a_run_is_the_runtimes_own(
    tune, decay, kotlin, micro, rows_of, train_tsv, open_ready, tmp_path
):
    bundle, steps = micro(tune), 8
    train(bundle, train_tsv, tmp_path / "python", steps=steps, weight_decay=decay)
    expected = read_journal(tmp_path / "python" / "journal").steps

    result = kotlin.well(
        tmp_path, "train", bundle=bundle.folder, packed=tmp_path, run=tmp_path / "run", **RUN,
        steps=steps, weight_decay=decay, rows=write_rows(tmp_path / "rows.json", rows_of(bundle)),
        out=tmp_path / "parameters",
    )  # fmt: skip
    journal = read_journal(tmp_path / "run" / "journal")

    assert result.numbers("step") == [list(step.losses) for step in expected]
    assert list(journal.steps) == list(expected)
    assert any(step.decay for step in expected) == (decay > 0)
    assert {len(step.passes) for step in expected} == {1 if tune == "pairs" else 3}
    assert journal.header["eps"] == bundle.default_eps
    model = open_ready(bundle, "litert")
    replay(model, expected)
    assert (tmp_path / "parameters").read_bytes() == parameters(model)


def test_a_run_that_the_runtime_began_goes_on_in_the_app(
    kotlin, micro, rows_of, train_tsv, tmp_path
):
    bundle, half, steps = micro("lora"), tmp_path / "half", 6
    train(bundle, train_tsv, tmp_path / "python", steps=steps)
    train(bundle, train_tsv, half, steps=steps // 2)

    result = kotlin.well(
        tmp_path, "train", bundle=bundle.folder, packed=tmp_path, run=half, **RUN, steps=steps,
        rows=write_rows(tmp_path / "rows.json", rows_of(bundle)), out=tmp_path / "out",
    )  # fmt: skip

    assert result.values("at") == [steps // 2]
    assert (half / "journal").read_bytes() == (tmp_path / "python" / "journal").read_bytes()


def test_what_an_app_calls_trains_and_goes_on(kotlin, micro, rows_of, tmp_path):
    bundle, counts = micro("lora"), []
    rows = write_rows(tmp_path / "rows.json", rows_of(bundle))
    for _ in range(2):
        kotlin.well(
            tmp_path, "app", bundle=bundle.folder, packed=tmp_path, run=tmp_path / "run",
            rows=rows, steps=2,
        )  # fmt: skip
        counts.append(len(read_journal(tmp_path / "run" / "journal").steps))

    assert counts == [2, 4] and (tmp_path / "run" / "state").exists()


def test_noise_is_compared_and_another_one_refused(
    kotlin, micro, noise_bundle, golden_bundle, tmp_path
):
    bundles = [micro("lora"), noise_bundle("rademacher"), noise_bundle("gaussian")]
    moved = [golden_bundle, bundles[-1]]
    folders = [*(bundle.folder for bundle in bundles), golden_bundle.folder]

    def move(values):
        values["parameters"][0]["variables"][0]["stream"] += 1000

    for bundle in moved:
        folders.append(shutil.copytree(bundle.folder, tmp_path / bundle.noise["kind"]))
        rewrite(folders[-1], move)

    result = kotlin.well(tmp_path, "noise", packed=tmp_path, bundles=list(map(str, folders)))

    *sound, table, gaussian = result.values("noise")
    assert sound == ["well"] * 4
    for bundle, text in zip(moved, (table, gaussian)):
        name = bundle.variables[0].name
        assert text.startswith(f"{name}: this LiteRT computes another noise than the format's")


def test_the_desktop_makes_an_adapter_of_an_apps_run(kotlin, micro, rows_of, tmp_path):
    from safetensors.numpy import load_file

    bundle = micro("lora")
    kotlin.well(
        tmp_path, "train", bundle=bundle.folder, packed=tmp_path, run=tmp_path / "run", **RUN,
        steps=3, rows=write_rows(tmp_path / "rows.json", rows_of(bundle)), out=tmp_path / "out",
    )  # fmt: skip
    done = pocketllm(
        "replay", f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}",
        f"--out={tmp_path / 'adapter'}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert tensors and all(values.any() for values in tensors.values())


@pytest.mark.parametrize("tune", ["lora", "pairs"])
def test_parameters_are_put_back_where_a_loss_is_not_finite(
    tune, kotlin, micro, rows_of, open_ready, tmp_path
):
    bundle = micro(tune)
    row = rows_of(bundle)[0]
    rows = [Row(row.sequences, row.label, weight=math.nan)]
    model = open_ready(bundle, "litert")
    before = np.frombuffer(parameters(model), "<f4")
    seed, eps = step_seed(RUN["seed"], 1), bundle.default_eps
    for scale in (eps, -2 * eps, eps) if tune == "lora" else ():  # pairs move nothing
        model.perturb(seed, scale)

    result = kotlin.well(
        tmp_path, "lose", bundle=bundle.folder, packed=tmp_path, **RUN, steps=1,
        rows=write_rows(tmp_path / "rows.json", rows), out=tmp_path / "out",
    )  # fmt: skip
    after = (tmp_path / "out").read_bytes()

    assert result.values("error") == ["step 1: the loss is not finite: NaN, NaN"]
    assert after == parameters(model)
    np.testing.assert_allclose(np.frombuffer(after, "<f4"), before, rtol=0, atol=1e-6)


def test_the_order_of_the_data_is_the_formats(kotlin, tmp_path):
    cases = json.loads(ORDER.read_text())
    sizes = [[case[name] for name in ("count", "batch_size", "seed", "step")] for case in cases]
    small = [
        (case, size) for case, size in zip(cases, sizes) if all(-(2**31) <= n < 2**31 for n in size)
    ]

    result = kotlin.well(tmp_path, "order", cases=[size for _, size in small])

    assert len(small) > 5
    assert result.values("seed") == [case["step_seed"] for case, _ in small]
    assert result.values("members") == [case["members"] for case, _ in small]
