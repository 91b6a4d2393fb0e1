"""Both probes in one forward pass, against two forward passes at either: the same losses."""

import numpy as np
import pytest
from delegate import MATMULS, nodes_of, partitions_of, with_first_subgraph
from frozen_cases import CASES, export_case, inputs_of, models_of
from small_runs import complaint, pocketllm
from tuned import random_state

from pocketllm.runtime.contract import (
    LOSS,
    WEIGHT_SUM,
    forward_loss_for,
    forward_pair_for,
)

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-6  # measured: no bit of any case differs but for the gaussian noise's
SEED, EPS = 12345, 2e-2


@pytest.fixture
def exported(request):
    """Exports a case of frozen_cases."""
    return lambda case: export_case(case, request.getfixturevalue)


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_two_forward_passes_and_nothing_moves(case, exported, open_ready):
    bundle = exported(case)
    assert bundle.has_pairs
    for model in models_of(bundle, open_ready):
        engine = model.engine.name
        start = dict(model.read())
        for tokens in bundle.lengths:
            inputs = inputs_of(bundle, tokens)
            probe = {"seed": np.array([SEED], np.int32), "eps": np.array([EPS], np.float32)}
            both = model.engine.run(forward_pair_for(tokens), **inputs, **probe)
            assert {n: v.tobytes() for n, v in model.read()} == {
                n: v.tobytes() for n, v in start.items()
            }
            alone = []
            for scale in (EPS, -EPS):
                model.perturb(SEED, scale)
                alone.append(model.engine.run(forward_loss_for(tokens), **inputs))
                model.write(start)
            expected = np.concatenate([outputs[LOSS] for outputs in alone])
            assert both[LOSS].shape == (2,)
            assert np.abs(both[LOSS] - expected).max() <= TOLERANCE * np.abs(expected).max(), engine
            assert np.abs(expected[0] - expected[1]) > 100 * TOLERANCE, "the probes differ"
            assert both[WEIGHT_SUM] == alone[0][WEIGHT_SUM], engine


@pytest.mark.parametrize("case", ["roberta, rademacher", "llama, gold", "qwen3, prefix"])
def test_every_product_is_in_the_delegate_and_frozen_ones_stand_there_once(
    case, exported, open_ready, tmp_path
):
    """A frozen matrix is read once for both probes."""
    bundle = exported(case)
    counts = []
    for name in (forward_loss_for(40), forward_pair_for(40)):
        swapped = with_first_subgraph(bundle, name, tmp_path / name)
        engine = open_ready(swapped, "litert", interpreter=True).engine
        nodes = nodes_of(engine._interpreter)
        partitions = partitions_of(nodes)
        products = {i: op for i, (op, *_) in enumerate(nodes) if op in MATMULS}
        homes = {i: [n for n, inside in enumerate(partitions) if i in inside] for i in products}
        assert all(len(home) == 1 for home in homes.values())
        frozen = [homes[i][0] for i, op in products.items() if op == "FULLY_CONNECTED"]
        # Behind the layers the words of an untied head are looked up, which cuts a partition.
        counts.append((len(products), len(frozen), len(set(frozen))))

    assert counts[0] == counts[1], "as many partitions as a forward pass has"
    assert counts[0][1] > 8 and counts[0][2] <= 2


def test_several_batches_are_joined_by_their_weight_sums(exported, open_ready):
    from pocketllm.runtime.data.batches import Batch

    bundle = exported("roberta, rademacher")
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)
    batches = [Batch(tokens, inputs_of(bundle, tokens), 2, (0, 1)) for tokens in bundle.lengths]
    batches[1].inputs["weight"][:] = 0.5, 0, 0
    start = dict(model.read())

    plus, minus = model.pair(batches, SEED, EPS)

    for loss, scale in ((plus, EPS), (minus, -EPS)):
        model.write(start)
        model.perturb(SEED, scale)
        assert loss == pytest.approx(model.loss(batches), rel=TOLERANCE)
    singles = [model.loss([batch]) for batch in batches]
    assert abs(singles[0] - singles[1]) > 1e-3, "the batches differ"


def test_a_signature_of_one_row_gives_its_losses(make_checkpoint, make_bundle, open_ready):
    """Sums over one row are folded away, and no output may be an input then."""
    bundle = make_bundle(make_checkpoint(), kind="lora", lengths=(16,), batch_size=1, pairs=True)
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)
    inputs = {name: value[1:2] for name, value in inputs_of(bundle, 16).items()}
    probe = {"seed": np.array([SEED], np.int32), "eps": np.array([EPS], np.float32)}

    both = model.engine.run(forward_pair_for(16), **inputs, **probe)

    assert both[WEIGHT_SUM] == [2.0]
    model.perturb(SEED, EPS)
    expected = model.engine.run(forward_loss_for(16), **inputs)[LOSS]
    assert both[LOSS][0] == pytest.approx(expected[0], rel=TOLERANCE)


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (["--tune=full"], ["--pairs", "--tune=full trains everything", "add --tune=lora"]),
        (
            ["--tune=lora", "--lora_extras=lm_head"],
            ["--pairs: --lora_extras=lm_head trains the table", "leave one of them out"],
        ),
    ],
)
def test_pairs_of_whole_tables_are_refused_in_one_line(flags, texts, make_checkpoint, tmp_path):
    done = pocketllm(
        "export", f"--model={make_checkpoint(tied=False)}", "--task=sst2", "--lengths=16",
        f"--out={tmp_path / 'out'}", "--pairs", *flags,
    )  # fmt: skip

    complaint(done, 2, *texts)
    assert not (tmp_path / "out").exists()
