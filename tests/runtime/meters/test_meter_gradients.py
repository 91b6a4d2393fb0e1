"""Slopes and meters of real bundles against the gradients of PyTorch's autograd."""

import numpy as np
import pytest
from opt_reference import EXCERPTS
from small_runs import rows, write_tsv

from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.meters.blocks import blocks_of, probe_blocks
from pocketllm.runtime.meters.figures import meters_of
from pocketllm.runtime.meters.probes import probe

pytestmark = pytest.mark.desktop

EPS = 1e-3
# The losses of an option have a larger third derivative, and float32 rounds more off a slope.
TOLERANCES = {"words": 5e-3, "gold": 5e-2}
SEEDS = range(1000, 1120)
# name: (checkpoint maker, its changes, settings of the export, data)
CASES = {
    "words": ("make_checkpoint", {}, {}, "sst2"),
    "gold": (
        "make_opt_checkpoint",
        {"max_position_embeddings": 600},
        {"task": "copa", "lengths": (128, 256)},
        "copa.jsonl",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, make_bundle, tmp_path_factory):
    """(checkpoint, bundle, batches of seven rows)."""
    maker, changes, settings, name = CASES[request.param]
    checkpoint = request.getfixturevalue(maker)(**changes)
    bundle = make_bundle(checkpoint, **settings)
    path = EXCERPTS / name
    if name == "sst2":
        path = write_tsv(tmp_path_factory.mktemp("data") / "t.tsv", rows(7, seed=3))
    data = load_dataset(path, bundle, training=True)
    return checkpoint, bundle, batches_of(data, bundle, range(min(7, len(data.examples))))


def row_gradients(checkpoint, bundle, batches):
    """Returns the gradient of each row's own loss, [R, d] float64, and TorchMezo for its z."""
    import torch
    from adam_reference import TorchAdam
    from pytorch_mezo_reference import TorchMezo

    model, rows_of_gradients = TorchAdam(checkpoint, bundle, torch.float64), []
    for batch in batches:
        for row in range(batch.rows):
            # The reference scores the first two rows of a batch.
            inputs = {name: np.roll(value, -row, axis=0) for name, value in batch.inputs.items()}
            inputs["weight"] = np.eye(1, batch.inputs["weight"].size, dtype=np.float32)[0]
            gradients = model.gradients(inputs)
            rows_of_gradients.append(torch.cat([g.flatten() for g in gradients.values()]).numpy())
    return np.stack(rows_of_gradients), TorchMezo(checkpoint, bundle)


def flat(z):
    return np.concatenate([values.numpy().ravel() for values in z.values()])


def test_slopes_of_rows_are_those_of_autograd(case, open_ready):
    checkpoint, bundle, batches = case
    seeds = SEEDS[:6]
    probes = probe(open_ready(bundle, "litert"), batches, bundle.scoring, seeds=seeds, eps=EPS)
    gradients, torch_mezo = row_gradients(checkpoint, bundle, batches)
    expected = np.stack([gradients @ flat(torch_mezo.z(seed)) for seed in seeds])

    error = np.abs(probes.slopes - expected).max() / np.abs(expected).max()
    assert error < TOLERANCES[bundle.scoring]


def test_the_meters_have_the_norms_of_autograd(case, open_ready):
    checkpoint, bundle, batches = case
    model = open_ready(bundle, "litert")
    probes = probe(model, batches, bundle.scoring, seeds=SEEDS, eps=EPS)
    meters = meters_of(probes)
    gradients, _ = row_gradients(checkpoint, bundle, batches)
    joint = (gradients * probes.weights[:, None]).mean(axis=0)

    # The mean square of 120 slopes of a Gaussian direction is within 3 · √(2 / 120) of ‖g‖².
    assert meters.slope_square == pytest.approx(joint @ joint, rel=0.39)
    apart = probes.weights[:, None] * (gradients - joint)
    variance = (apart**2).sum() / (len(gradients) - 1)
    assert meters.row_variance == pytest.approx(variance, rel=0.39)
    assert probes.weights.mean() == pytest.approx(1)
    assert meters.loss == pytest.approx(model.loss(batches), rel=1e-5)


def test_the_blocks_have_the_norms_of_autograd_and_leave_the_parameters(case, open_ready):
    from pocketllm.runtime.bundle.manifest import read_noise

    checkpoint, bundle, batches = case
    model = open_ready(bundle, "litert")
    before = {name: values.copy() for name, values in model.read()}
    blocks = blocks_of(bundle)
    assert {"layer 0", "embeddings"} <= {block.name for block in blocks}
    assert sum(len(block.variables) for block in blocks) == len(bundle.variables)
    probed = list(
        probe_blocks(model, batches, blocks, noise=read_noise(bundle), seeds=SEEDS[:60], eps=EPS)
    )
    gradients, _ = row_gradients(checkpoint, bundle, batches)
    weights = probed[0].weights[:, None]
    start, joint = {}, (gradients * weights).mean(axis=0)
    place = 0
    for parameter in bundle.parameters:
        start[parameter.name], place = place, place + int(np.prod(parameter.shape))
    for block, probes in zip(blocks, probed):
        names = {variable.name for variable in block.variables}
        square = sum(
            float((joint[start[p.name] : start[p.name] + int(np.prod(p.shape))] ** 2).sum())
            for p in bundle.parameters
            if p.variables[0].name in names
        )
        assert meters_of(probes).slope_square == pytest.approx(square, rel=0.55), block.name
    for name, values in model.read():
        assert np.array_equal(values, before[name])
