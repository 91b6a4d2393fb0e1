"""The direction z: the graph's is the NumPy reference's, and its statistics are MeZO's.

Seeds are fixed, so a statistical bound either holds for ever or never: it is set in standard
deviations of what independent draws would give, wide enough for the number of values compared.
"""

import itertools

import numpy as np
import pytest
from forward import relative_error
from noise_kinds import in_graph

from pocketllm.export.signatures.tables import noise_table
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_noise
from pocketllm.runtime.contract import NOISE_KINDS
from pocketllm.runtime.noise import Noise, counters, direction, perturb, stream_keys, words

INT32 = np.iinfo(np.int32)
SEEDS = (0, 1, -1, 2, 123456789, -987654321, INT32.max, INT32.min)
# Found over 300 seeds of 200,000 values: 3.1e-7 in litert, 1.2e-7 in tflite.
GAUSSIAN_TOLERANCE = 1e-6


@pytest.fixture(scope="session", params=NOISE_KINDS)
def noise(request) -> Noise:
    """Each noise kind in turn, with its full-size table."""
    return Noise(request.param, noise_table(request.param))


@in_graph
def test_the_graph_draws_the_z_of_the_numpy_reference(kind, engine, noise_bundle, open_ready):
    bundle = noise_bundle(kind)
    model, reference = open_ready(bundle, engine), read_noise(bundle)
    columns = 2 if reference.table is None else reference.table.shape[1]
    sizes = {np.prod(v.shape) % columns == 0 for v in bundle.variables}
    assert sizes == ({True} if kind == "gaussian" else {True, False}), "both kinds of size"
    zeros = {v.name: np.zeros(v.shape, np.float32) for v in bundle.variables}

    for seed in SEEDS:
        model.write(zeros)
        model.perturb(seed, 1)
        drawn = dict(model.read())
        for variable in bundle.variables:
            z = direction(reference, seed, variable.stream, int(np.prod(variable.shape)))
            actual = drawn[variable.name].reshape(-1)
            if kind == "gaussian":
                assert relative_error(actual, z) <= GAUSSIAN_TOLERANCE
            else:
                np.testing.assert_array_equal(actual, z)


@in_graph
def test_perturbing_rounds_as_the_numpy_reference(kind, engine, noise_bundle, open_ready):
    bundle = noise_bundle(kind)
    model, reference = open_ready(bundle, engine), read_noise(bundle)
    before = dict(model.read())
    model.perturb(77, -2.3e-3)
    after = dict(model.read())
    for variable in bundle.variables:
        theta = before[variable.name]
        z = direction(reference, 77, variable.stream, theta.size)
        expected = perturb(theta, z, -2.3e-3)
        if kind == "gaussian":
            assert relative_error(after[variable.name], expected) <= GAUSSIAN_TOLERANCE
        else:
            np.testing.assert_array_equal(after[variable.name], expected)
        assert (after[variable.name] != theta).mean() > 0.9, variable.name


TWO_PASSES = [
    (5, 1e-3, -7, -1e-3), (5, -3.3, 123456789, 0.7), (3, 0.25, 3, -0.25),
    (0, 0.0, INT32.min, 1e-30),
]  # fmt: skip


@in_graph
@pytest.mark.parametrize("numbers", TWO_PASSES, ids=str)
def test_two_passes_in_one_have_the_bits_of_two(kind, engine, numbers, noise_bundle, open_ready):
    bundle = noise_bundle(kind)
    assert contract.PERTURB_TWO in bundle.signatures
    model, reference = open_ready(bundle, engine), read_noise(bundle)
    before = dict(model.read())
    model.perturb(*numbers[:2])
    model.perturb(*numbers[2:])
    apart = {name: values.tobytes() for name, values in model.read()}
    model.write(before)

    types = np.int32, np.float32, np.int32, np.float32
    names = contract.SEED, contract.SCALE, contract.SEED_2, contract.SCALE_2
    inputs = {name: np.array([number], of) for name, number, of in zip(names, numbers, types)}
    model.engine.run(contract.PERTURB_TWO, **inputs)

    assert {name: values.tobytes() for name, values in model.read()} == apart
    for variable in bundle.variables if kind != "gaussian" else ():
        values = before[variable.name]
        for seed, scale in (numbers[:2], numbers[2:]):
            z = direction(reference, seed, variable.stream, values.size)
            values = perturb(values, z, scale)
        assert values.tobytes() == apart[variable.name], variable.name


@in_graph
def test_perturbing_there_and_back_restores_within_an_ulp(kind, engine, noise_bundle, open_ready):
    bundle = noise_bundle(kind)
    model, reference = open_ready(bundle, engine), read_noise(bundle)
    before = dict(model.read())
    for scale in (1e-3, 3.0):
        model.write(before)
        model.perturb(5, scale)
        model.perturb(5, -scale)
        for name, after in model.read():
            variable = next(v for v in bundle.variables if v.name == name)
            z = direction(reference, 5, variable.stream, after.size).reshape(after.shape)
            magnitude = np.abs(before[name]) + np.abs(np.float32(scale) * z)
            # Two sums, each rounded by at most half an ulp.
            assert (np.abs(after - before[name]) <= np.spacing(magnitude)).all(), name


def test_the_codebook_has_mean_0_and_covariance_1():
    rows = noise_table("codebook").astype(np.float64)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(rows.shape[1]), atol=1e-6)


def test_the_rademacher_table_holds_every_pattern_of_signs_once():
    table = noise_table("rademacher")
    assert set(np.unique(table)) == {-1, 1}
    assert len(np.unique(table, axis=0)) == len(table) == 2 ** table.shape[1]


def test_a_longer_direction_begins_with_the_shorter_one_of_the_table_kinds():
    for kind in ("codebook", "rademacher"):
        noise = Noise(kind, noise_table(kind))
        longer, shorter = direction(noise, 3, 4, 1000), direction(noise, 3, 4, 131)
        np.testing.assert_array_equal(longer[:131], shorter)


def test_directions_of_seeds_and_streams_are_uncorrelated(noise):
    seeds = (0, 1, 2, 3, 4, -1, 1 << 8, 1 << 16, 1 << 30, INT32.min, INT32.max)
    pairs = [(seed, stream) for seed in seeds for stream in (0, 1, 2, 3, 255, 4096)]
    z = np.stack([direction(noise, *pair, 1 << 15) for pair in pairs]).astype(np.float64)
    correlation = np.corrcoef(z)
    np.fill_diagonal(correlation, 0)
    # 2145 pairs of 2^15 values: independent ones would pass 5 sigma once in a thousand sets.
    assert np.abs(correlation).max() < 5 / np.sqrt(z.shape[1])


def test_blocks_of_one_direction_are_uncorrelated(noise):
    blocks = direction(noise, 11, 7, 64 * 4096).reshape(4096, 64).astype(np.float64)
    for lag in (1, 2, 3, 16, 256, 2048):
        products = blocks[lag:] * blocks[:-lag]
        # Mean of (4096 - lag) * 64 products of variance 1; 6 lags, so 4.5 sigma.
        assert abs(products.mean()) < 4.5 / np.sqrt(products.size)


def test_no_seeds_stream_is_a_shift_of_anothers():
    count = 4096
    seeds = (*range(8), -1, INT32.min, INT32.max)
    keys = np.concatenate([stream_keys(seed, np.arange(3)) for seed in seeds])
    # Also keys that lie side by side, as those of some seeds do: added to a counter they would
    # make shifts by 1 and by 64.
    keys = (keys[:, None] + np.array([0, 1, 64], np.uint32)).reshape(-1)
    drawn = [set(words(counters(count), key).tolist()) for key in keys]
    # Shifts (or any reorderings) of each other share their words; two independent streams share
    # count^2 / 2^32 = 0.004 on average, so 3 is out of reach.
    assert max(len(a & b) for a, b in itertools.combinations(drawn, 2)) < 3


@pytest.mark.parametrize("stream", [0, 9])
def test_over_seeds_z_has_mean_0_and_covariance_1(noise, stream):
    seeds, size = 4096, 96  # a block and a half of the codebook
    z = np.stack([direction(noise, seed, stream, size) for seed in range(seeds)])
    z = z.astype(np.float64)
    sigma = 1 / np.sqrt(seeds)
    assert np.abs(z.mean(axis=0)).max() < 4.5 * sigma  # of 96 means
    second = z.T @ z / seeds
    # z_i^2 of a normal z has variance 2, z_i z_j variance 1; 4560 pairs, so 5.5 sigma.
    assert np.abs(second.diagonal() - 1).max() < 4.5 * np.sqrt(2) * sigma
    assert np.abs(second - np.diag(second.diagonal())).max() < 5.5 * sigma
