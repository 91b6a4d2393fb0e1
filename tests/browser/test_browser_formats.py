"""The modules of examples/browser follow the formats: noise, order, rows, journal, to the bit."""

import base64
import json
import math
from pathlib import Path

import litert_js
import numpy as np
import pytest

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import micro_batches, training_row
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.applied import Applied

VECTORS = Path(__file__).parents[1] / "conformance"
EXACT = 2**53  # JavaScript's whole numbers end there
HEADER = {
    "format_version": 2, "bundle_checksum": "0" * 64, "noise": "codebook", "train_sha256": "ü",
    "batch_size": 5, "seed": 7, "optimizer": "mezo", "lr": 1e-5, "eps": 1e-3, "weight_decay": 0.0,
    "lr_schedule": "constant", "split": "12/4",
}  # fmt: skip


def decoded(text: str, kind: str) -> np.ndarray:
    """Returns an array that the probe has written."""
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_words_of_the_noise_are_those_of_the_vectors(tmp_path):
    described = json.loads((VECTORS / "noise.json").read_text())["words"]

    words = litert_js.probe(tmp_path, "words", **described)

    expected = np.fromfile(VECTORS / "noise-words.u32", "<u4").reshape(-1, described["count"])
    assert len(words) == 24 and words == expected.tolist()


def test_z_of_both_kinds_with_a_table_is_that_of_the_vectors(tmp_path):
    described = json.loads((VECTORS / "noise.json").read_text())["values"]
    expected = np.fromfile(VECTORS / "noise-values.f32", "<f4").reshape(-1, described["count"])
    signs = [[2.0 * (row >> column & 1) - 1 for column in range(16)] for row in range(1 << 16)]
    (tmp_path / "signs").write_bytes(np.array(signs, "<f4").tobytes())
    codebook = read_bundle(VECTORS / "masked")
    tables = {
        "codebook": (codebook.model_path, codebook.noise),
        "rademacher": (tmp_path / "signs", {"rows": 1 << 16, "columns": 16, "offset": 0}),
    }

    for kind, (table, noise) in tables.items():
        places = [i for i, case in enumerate(described["cases"]) if case["kind"] == kind]
        values = litert_js.probe(
            tmp_path, "values", table=table, noise=dict(noise), count=described["count"],
            cases=[described["cases"][place] for place in places],
        )  # fmt: skip

        assert len(places) > 20
        for text, place in zip(values, places, strict=True):
            assert decoded(text, "<f4").tobytes() == expected[place].tobytes()


def test_the_order_of_the_data_is_the_formats(tmp_path):
    cases = json.loads((VECTORS / "order.json").read_text())

    answers = litert_js.probe(tmp_path, "order", cases=cases)

    assert len(cases) == 120
    assert answers == [{key: case[key] for key in ("members", "step_seed")} for case in cases]


@pytest.mark.parametrize(("style", "data"), [("masked", "tsv"), ("causal", "jsonl")])
def test_batches_of_encoded_rows_are_the_runtimes(style, data, tmp_path):
    bundle = read_bundle(VECTORS / style)
    examples = load_dataset(VECTORS / f"rows-{style}.{data}", bundle).examples
    rows = [training_row(example, bundle.scoring) for example in examples]
    pad = bundle.special_tokens.pad

    batches = litert_js.probe(
        tmp_path, "rows", bundle=bundle.folder, rows=VECTORS / f"{style}.rows"
    )

    expected = micro_batches(rows, bundle.batch_size, bundle.lengths, pad)
    assert len({batch.tokens for batch in expected}) > 1
    for batch, theirs in zip(batches, expected, strict=True):
        assert (batch["tokens"], batch["members"]) == (theirs.tokens, list(theirs.members))
        inputs = {name: values.ravel().tolist() for name, values in theirs.inputs.items()}
        assert batch["inputs"] == inputs


def test_numbers_are_spelled_as_python_spells_them(tmp_path):
    rng = np.random.default_rng(0)
    exponents = rng.integers(-320, 308, 2000)
    values = [float(f"{m:.17g}e{e}") for m, e in zip(rng.normal(size=2000), exponents)]
    values += [0.0, -0.0, 1.0, -2.0, 1e-4, 9.999e-5, 1e-5, 1e15, 1e16, 1e22, 123456.75, math.pi]

    texts = litert_js.probe(tmp_path, "numbers", values=values)

    # JSON's -0 reaches the probe as it is: json.dumps writes "-0.0".
    assert texts == [json.dumps({"value": value}) for value in values]


def test_a_journal_has_the_bytes_of_the_runtimes_own(tmp_path):
    steps = [
        Applied(
            step=number, losses=(0.1 * number, 1 / number), passes=((-5, 0.25), (2**31 - 1, -0.5)),
            decay=0.0, lr=1e-5, eps=1e-3,
        )
        for number in range(1, 5)
    ]  # fmt: skip
    new_journal(tmp_path / "journal", HEADER)
    writer = JournalWriter(tmp_path / "journal")
    for step in steps:
        writer.append(step)
    writer.close()

    described = [
        {"number": s.step, "losses": s.losses, "passes": s.passes, "lr": s.lr, "eps": s.eps}
        for s in steps
    ]
    text = litert_js.probe(tmp_path, "journal", header=HEADER, steps=described)

    assert len(read_journal(tmp_path / "journal").steps) == len(steps)
    assert base64.b64decode(text) == (tmp_path / "journal").read_bytes()
