"""The native program reproduces the vectors of tests/conformance, and tells one that differs."""

import json
import shutil

import pytest
from native_program import ROOT, native

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.encoded_file import write_encoded

VECTORS = ROOT / "tests" / "conformance"
ROWS = {"masked": "rows-masked.tsv", "causal": "rows-causal.jsonl"}


@pytest.fixture
def vectors(tmp_path):
    """A copy of the vectors, to be spoilt."""
    return shutil.copytree(VECTORS, tmp_path / "vectors")


def test_every_vector_is_reproduced(vectors):
    done = native(f"--conformance={vectors}")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in ("noise.json", "order.json", "masked.rows", "causal.rows", "run.json"):
        assert sum(line.startswith(f"{vectors}/{name}: ") for line in lines) == 1


@pytest.mark.parametrize("style", ROWS)
def test_the_rows_of_the_vectors_are_what_is_written_today(style, tmp_path):
    bundle = read_bundle(VECTORS / style)

    write_encoded(tmp_path / "rows", load_dataset(VECTORS / ROWS[style], bundle), bundle)

    assert (tmp_path / "rows").read_bytes() == (VECTORS / f"{style}.rows").read_bytes()


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("noise-words.u32", 40, "a word"),
        ("noise-second-words.u32", 40, "a second word"),
        ("noise-values.f32", 40, "a value of z"),
        ("run.journal", -9, "the journal"),
        ("run-parameters.f32", 400, "a parameter"),
    ],
)
def test_a_vector_that_differs_is_told(name, place, text, vectors):
    data = bytearray((vectors / name).read_bytes())
    data[place] ^= 1
    (vectors / name).write_bytes(data)

    done = native(f"--conformance={vectors}")

    assert done.returncode == 1 and f"{text} differs" in done.stderr


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("order.json", lambda cases: cases[3]["members"].reverse() or cases[9]["members"].reverse()
         or cases[25]["members"].reverse(), "a member differs"),
        ("order.json", lambda cases: cases[3].update(step_seed=1), "a seed differs"),
        ("run.json", lambda run: run["steps"][1]["losses"].reverse(), "a loss differs"),
        ("token_ids.json", lambda styles: styles["masked"]["examples"].pop(), "the number of"),
        ("token_ids.json", lambda styles: styles["causal"]["examples"][2]["sequences"][0][
            "target"].update(option_start=1), "option_start differs"),
    ],
    ids=["members", "seed", "losses", "count", "target"],
)  # fmt: skip
def test_a_description_that_differs_is_told(name, change, text, vectors):
    values = json.loads((vectors / name).read_text())
    change(values)
    (vectors / name).write_text(json.dumps(values))

    done = native(f"--conformance={vectors}")

    assert done.returncode == 1 and text in done.stderr
