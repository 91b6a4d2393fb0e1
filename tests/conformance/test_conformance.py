"""The vectors for implementations in other languages, held against the runtime and a second one."""

import json
from pathlib import Path

import numpy as np
import pytest
import second_implementation as second

from pocketllm.runtime import noise
from pocketllm.runtime.bundle.manifest import read_bundle, read_initial, read_noise
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.applied import Applied, Recorder
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step
from pocketllm.runtime.run.replay import replay

HERE = Path(__file__).resolve().parent
# Box-Muller's logarithms and cosines differ in their last digits between libraries.
GAUSSIAN_TOLERANCE = 1e-6
# Losses of tiny models differ by up to 2e-6 between the engines; relative to the largest.
LOSS_TOLERANCE = 1e-5


def vectors(name):
    """Returns a JSON file of vectors."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def array(name, kind, columns):
    """Returns a raw file as [cases, columns]."""
    return np.fromfile(HERE / name, kind).reshape(-1, columns)


@pytest.fixture(scope="module")
def run():
    """The five steps."""
    return vectors("run.json")


def test_noise_words_are_those_of_both_implementations():
    described = vectors("noise.json")["words"]
    count = described["count"]
    words = array("noise-words.u32", "<u4", count)
    angles = array("noise-second-words.u32", "<u4", count)
    assert len(words) == len(angles) == len(described["cases"]) == 24

    for case, expected, expected_angles in zip(described["cases"], words, angles, strict=True):
        seed, stream = case["seed"], case["stream"]
        key = noise.stream_keys(seed, np.array([stream]))
        assert (noise.words(noise.counters(count), key) == expected).all()
        assert second.noise_words(seed, stream, count) == expected.tolist()
        assert second.second_words(seed, stream, count) == expected_angles.tolist()


def test_values_of_every_kind_of_noise_are_those_of_the_vectors(golden_bundle):
    described = vectors("noise.json")["values"]
    codebook = read_noise(golden_bundle)
    signs = [[2.0 * (row >> column & 1) - 1 for column in range(16)] for row in range(1 << 16)]
    kinds = {
        "codebook": codebook,
        "rademacher": noise.Noise("rademacher", np.array(signs, np.float32)),
        "gaussian": noise.Noise("gaussian"),
    }
    count = described["count"]
    values = array("noise-values.f32", "<f4", count)
    assert {case["kind"] for case in described["cases"]} == set(kinds)

    for case, expected in zip(described["cases"], values, strict=True):
        seed, stream = case["seed"], case["stream"]
        z = noise.direction(kinds[case["kind"]], seed, stream, count)
        words = second.noise_words(seed, stream, count)
        if case["kind"] == "gaussian":
            assert np.abs(z - expected).max() <= GAUSSIAN_TOLERANCE
            continue
        assert (z == expected).all()
        if case["kind"] == "rademacher":
            assert [second.sign(words, i) for i in range(count)] == expected.tolist()
        else:  # 128 rows of 16 values
            rows = [codebook.table[word >> 25] for word in words[: -(-count // 16)]]
            assert np.concatenate(rows)[:count].tolist() == expected.tolist()


def test_members_and_seeds_of_steps_are_those_of_both_implementations():
    cases = vectors("order.json")
    assert len(cases) == 120

    for case in cases:
        arguments = (case["count"], case["batch_size"], case["seed"], case["step"])
        assert step_members(*arguments) == second.step_members(*arguments) == case["members"]
        seed = step_seed(case["seed"], case["step"])
        assert seed == second.step_seed(case["seed"], case["step"]) == case["step_seed"]


@pytest.mark.parametrize("style", ["masked", "causal"])
def test_rows_have_the_token_ids_of_the_vectors(style):
    expected = vectors("token_ids.json")[style]
    bundle = read_bundle(HERE / style)
    assert bundle.style == style

    examples = load_dataset(HERE / expected["data"], bundle).examples

    assert len(examples) == len(expected["examples"]) == 20
    cut = [sequence["truncated"] for e in expected["examples"] for sequence in e["sequences"]]
    assert any(cut) and not all(cut), "rows that fit, and rows that do not"
    for example, vector in zip(examples, expected["examples"], strict=True):
        assert list(example.golds) == vector["golds"]
        sequences = [
            {"input_ids": s.input_ids.tolist(), "target": s.target, "truncated": s.truncated}
            for s in example.sequences
        ]
        assert sequences == vector["sequences"]


def test_the_losses_of_the_steps_are_those_of_the_vectors(run, engine, golden_bundle, open_ready):
    model = open_ready(golden_bundle, engine)
    data = load_dataset(HERE / run["data"], golden_bundle)
    losses, expected = [], []

    for vector in run["steps"]:
        batches = batches_of(data, golden_bundle, vector["members"])
        first, second_pass, last = vector["passes"]
        model.perturb(*first)
        losses.append(model.loss(batches))
        model.perturb(*second_pass)
        losses.append(model.loss(batches))
        model.perturb(*last, vector["decay"], vector["probe"])
        expected += vector["losses"]

    assert np.ptp(expected) > 0.1, "losses that hardly vary prove nothing"
    assert np.abs(np.subtract(losses, expected)).max() <= LOSS_TOLERANCE * max(expected)


class Nothing:
    """Perturbable that moves nothing."""

    def perturb(self, seed, scale, decay=0.0, probe=0.0):
        """Nothing."""


def test_the_losses_give_the_journal_byte_for_byte(run, tmp_path):
    header = run["header"]
    settings = MezoSettings(
        header["lr"],
        header["eps"],
        header["weight_decay"],
        header["lr_schedule"],
        len(run["steps"]),
    )
    path, recorder = tmp_path / "journal", Recorder(Nothing())
    new_journal(path, header)

    with JournalWriter(path) as journal:
        for vector in run["steps"]:
            losses = iter(vector["losses"])
            number, seed = vector["step"], vector["seed"]
            step = mezo_step(recorder, lambda: next(losses), number, seed, settings)  # noqa: B023
            passes, decay = recorder.end_step()
            journal.append(Applied(number, step.losses, step.lr, settings.eps, passes, decay))
            assert step.projected_grad == vector["projected_grad"]
            assert path.stat().st_size == vector["journal_bytes"]

    assert path.read_bytes() == (HERE / "run.journal").read_bytes()


def test_a_second_reader_finds_in_the_journal_what_was_applied(run):
    header, records = second.read_journal((HERE / "run.journal").read_bytes())

    assert header == run["header"]
    fields = ("step", "lr", "losses", "passes", "decay")
    assert [[r[f] for f in fields] for r in records] == [
        [s[f] for f in fields] for s in run["steps"]
    ]
    assert {record["eps"] for record in records} == {header["eps"]}


def test_passes_follow_from_the_losses_by_the_formula_of_the_format(run):
    header, count = run["header"], len(run["steps"])
    for vector in run["steps"]:
        plus, minus = vector["losses"]
        lr = header["lr"] * (1 - (vector["step"] - 1) / count)
        projected_grad = (plus - minus) / (2 * header["eps"])
        decay, eps = lr * header["weight_decay"], header["eps"]
        scales = (eps, -2 * eps, eps - lr * projected_grad)
        assert vector["passes"] == [[vector["seed"], second.float32(scale)] for scale in scales]
        assert vector["decay"] == second.float32(decay) > 0
        assert vector["probe"] == second.float32(eps) == -sum(s for _, s in vector["passes"][:-1])


def test_the_journal_gives_the_parameters_bit_for_bit(run, engine, golden_bundle, open_ready):
    model = open_ready(golden_bundle, engine)

    replay(model, read_journal(HERE / "run.journal").steps)

    variables = dict(model.read())
    expected = (HERE / "run-parameters.f32").read_bytes()
    assert [v["name"] for v in run["variables"]] == [v.name for v in golden_bundle.variables]
    assert (
        b"".join(variables[v["name"]].astype("<f4").tobytes() for v in run["variables"]) == expected
    )


def test_a_second_implementation_reaches_the_parameters_from_the_initial_values(run, golden_bundle):
    table = read_noise(golden_bundle).table
    columns = table.shape[1]
    reached = []
    for parameter in golden_bundle.parameters:
        for variable in parameter.variables:
            theta = read_initial(golden_bundle, variable).ravel().tolist()
            for vector in run["steps"]:
                words = second.noise_words(
                    vector["seed"], variable.stream, -(-len(theta) // columns)
                )
                z = table[[word >> 25 for word in words]].ravel().tolist()  # 128 rows
                *scales, last = (scale for _, scale in vector["passes"])
                for scale in scales if parameter.decays else (*scales, last):
                    theta = second.noise_pass(theta, z, scale)
                if parameter.decays:
                    decay, probe = vector["decay"], vector["probe"]
                    theta = second.decaying_pass(theta, z, last, decay, probe)
            reached += theta

    expected = np.fromfile(HERE / "run-parameters.f32", "<f4")
    assert np.array_equal(np.float32(reached), expected)
