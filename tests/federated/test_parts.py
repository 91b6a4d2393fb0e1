"""Parts of a data file: equal in size, disjoint, and as different as --alpha says."""

import gzip
import math

import numpy as np
import pytest

from pocketllm.federated.simulation.parts import drawn_parts, write_parts
from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.errors import InputError

LABELS = [0, 1] * 500


def shares(parts):
    """The share of label 1 in each part."""
    return np.array([np.mean([LABELS[place] for place in part]) for part in parts])


@pytest.mark.parametrize("alpha", [math.inf, 0.5, 0.1, 1e-9])
def test_parts_are_of_equal_size_and_share_no_example(alpha):
    parts = drawn_parts(LABELS, 7, alpha, seed=3)

    assert [len(part) for part in parts] == [142] * 7
    places = [place for part in parts for place in part]
    assert len(set(places)) == len(places) and all(0 <= place < 1000 for place in places)


def test_labels_differ_the_more_the_smaller_alpha_is():
    spread = [shares(drawn_parts(LABELS, 20, alpha, 0)).std() for alpha in (math.inf, 10.0, 0.1)]

    assert spread[0] < 0.011 < spread[1] < 0.25 < spread[2]


def test_the_same_seed_draws_the_same_parts_and_another_one_others():
    first, again, other = (drawn_parts(LABELS, 5, 0.5, seed) for seed in (1, 1, 2))

    assert first == again != other


def test_more_clients_than_examples_are_refused():
    with pytest.raises(InputError, match="3 examples for 4 clients; take fewer clients"):
        drawn_parts([0, 1, 0], 4, math.inf, 0)


@pytest.mark.parametrize("name", ["data.tsv", "data.tsv.gz", "data.jsonl"])
def test_the_parts_files_hold_the_files_lines(name, golden_bundle, tmp_path):
    path, task = tmp_path / name, golden_bundle.task
    rows = [(f"film {number}", number % 2) for number in range(12)]
    if name.endswith("jsonl"):
        text = "".join(f'{{"sentence": "{text}", "label": {label}}}\n' for text, label in rows)
    else:
        text = "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())

    written = write_parts(path, task, 3, 0.2, 1, out=tmp_path / "parts")

    sentences = []
    for part, counts in written:
        examples, _ = read_examples(part, task)
        assert len(examples) == 4 == sum(counts.values())
        assert all(e.label == int(e.fields["sentence"].split()[1]) % 2 for e in examples)
        sentences += [e.fields["sentence"] for e in examples]
    assert sorted(sentences) == sorted(text for text, _ in rows)


def test_a_format_whose_examples_are_no_lines_is_refused(golden_bundle, tmp_path):
    with pytest.raises(InputError, match=r"'\.csv', expected \.tsv"):
        write_parts(tmp_path / "a.csv", golden_bundle.task, 2, 1.0, 0, out=tmp_path / "parts")
