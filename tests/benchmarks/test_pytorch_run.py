"""PyTorch's side of a reproduction: our losses on the same rows, and run directories like ours."""

import json
from dataclasses import asdict, replace
from statistics import median

import numpy as np
import pytest
from small_runs import write_tsv

from pocketllm.benchmarks.reproduce.request import Request
from pocketllm.runtime.data.batches import training_row
from pocketllm.runtime.data.dataset import batches_of, load_dataset

pytestmark = pytest.mark.desktop


@pytest.fixture(scope="module")
def bundles(make_checkpoint, make_opt_checkpoint, make_bundle):
    """A bundle for each way of scoring: the labels' words are one token or several."""
    from pocketllm.export.tasks.own_data import option_text_task

    opt = make_opt_checkpoint()
    several = option_text_task("{text} it was", "0:terrible,1:great film")
    return {
        "roberta": make_bundle(make_checkpoint()),
        "opt": make_bundle(opt),
        "opt options": make_bundle(opt, task=several, lengths=(16, 32)),
    }


def rows_of(bundle, tmp_path):
    """Writes rows of several lengths, some too long for the smallest bucket."""
    rows = [("a great film", 1), ("it", 0), ("a film it was a terrible film", 0), ("ok", 1)]
    if bundle.task.name == "text":
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps({"text": t, "label": str(n)}) + "\n" for t, n in rows))
        return path
    return write_tsv(tmp_path / "rows.tsv", rows)


@pytest.mark.parametrize("name", ["roberta", "opt", "opt options"])
def test_padded_rows_have_the_loss_that_the_bundle_finds(name, bundles, open_ready, tmp_path):
    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, row_loss

    bundle = bundles[name]
    assert bundle.scoring == ("options" if "options" in name else "words")
    data = load_dataset(rows_of(bundle, tmp_path), bundle, training=True)
    rows = [training_row(example, bundle.scoring) for example in data.examples]
    assert len({row.tokens for row in rows}) > 1
    ours = open_ready(bundle, "litert").loss(batches_of(data, bundle))

    batch = one_batch(rows, bundle.lengths[-1], data.pad_id)
    theirs = row_loss(load_model(bundle), bundle, batch).item()

    assert theirs == pytest.approx(ours, rel=1e-5) and theirs > 0.1


@pytest.mark.parametrize("optimizer", ["mezo", "adam"])
def test_a_run_is_a_run_directory_that_reports_can_read(optimizer, bundles, tmp_path):
    from pocketllm.benchmarks.report.data import read_runs, summarise
    from pocketllm.benchmarks.reproduce.pytorch_run import measure

    bundle = bundles["roberta"]
    data, run = rows_of(bundle, tmp_path), tmp_path / "run"
    request = Request(
        str(bundle.folder), str(data), str(run), optimizer,
        batch_size=3, steps=4, lr=1e-3, eps=1e-3, seed=1, threads=1,
    )  # fmt: skip
    stages = []

    result = measure(asdict(request), stages.append)

    (record,) = read_runs([run])
    assert stages == ["loading", "step 1", "step 2", "step 3", "step 4"]
    assert (record.optimizer, [step.step for step in record.steps]) == (optimizer, [1, 2, 3, 4])
    assert record.config["bundle_checksum"] == bundle.checksum
    assert ("eps" in record.config) == (optimizer == "mezo")
    assert record.sessions[0].engine.startswith("pytorch (torch ")
    assert result["step_seconds"] == pytest.approx(
        median(cost.seconds for cost in record.costs), abs=1e-6
    )
    assert summarise(record)["peak_anon_bytes"] <= result["peak_anon_bytes"]


def test_pytorchs_adam_is_adamw_on_the_batches_that_train_would_draw(bundles, tmp_path):
    import torch

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, row_loss
    from pocketllm.benchmarks.report.data import read_runs
    from pocketllm.benchmarks.reproduce.pytorch_run import measure
    from pocketllm.runtime.data.order import step_members

    bundle = bundles["roberta"]
    path = rows_of(bundle, tmp_path)
    request = Request(
        str(bundle.folder), str(path), str(tmp_path / "run"), "adam",
        batch_size=2, steps=3, lr=1e-2, eps=1e-3, seed=5, threads=1,
    )  # fmt: skip
    measure(asdict(request), lambda stage: None)
    (record,) = read_runs([tmp_path / "run"])

    # By hand: m, v and both corrections.
    data, model = load_dataset(path, bundle, training=True), load_model(bundle)
    moments = {}
    for step, line in enumerate(record.steps, 1):
        members = step_members(len(data.examples), 2, 5, step)
        rows = [training_row(data.examples[i], bundle.scoring) for i in members]
        loss = row_loss(model, bundle, one_batch(rows, bundle.lengths[-1], data.pad_id))
        assert line.loss == pytest.approx(loss.item(), rel=1e-5)
        parameters = dict(model.named_parameters())
        slopes = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
        for (name, parameter), slope in zip(parameters.items(), slopes):
            if slope is None:
                continue
            m, v = moments.get(name, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
            moments[name] = m, v
            moved = (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            parameter.data = parameter.data - 1e-2 * moved
    losses = [line.loss for line in record.steps]
    assert np.ptp(losses) > 1e-3


def test_a_mezo_step_of_pytorch_is_recorded_with_its_slope(bundles, tmp_path):
    from pocketllm.benchmarks.report.data import read_runs
    from pocketllm.benchmarks.reproduce.pytorch_run import measure

    bundle = bundles["opt"]
    request = Request(
        str(bundle.folder), str(rows_of(bundle, tmp_path)), str(tmp_path / "run"), "mezo",
        batch_size=2, steps=2, lr=1e-3, eps=1e-2, seed=5, threads=1,
    )  # fmt: skip
    measure(asdict(request), lambda stage: None)
    again = replace(request, run=str(tmp_path / "again"))
    measure(asdict(again), lambda stage: None)

    first, second = (read_runs([request.run])[0].steps, read_runs([again.run])[0].steps)
    for line, same in zip(first, second):
        slope = (line.loss_plus - line.loss_minus) / 2e-2
        assert line.projected_grad == pytest.approx(slope, rel=1e-12) and abs(slope) > 1e-4
        assert (same.seed, same.loss_plus) == (line.seed, line.loss_plus)
    assert first[0].seed != first[1].seed
