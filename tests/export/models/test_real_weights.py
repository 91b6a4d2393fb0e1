"""SmolLM2-135M-Instruct's real weights: every token's log-probability is that of transformers.

Random weights do not show a wrong rotary angle or a query in another group's place: attention is
nearly even there. These do.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import smollm2
from conftest import ENGINES
from small_runs import pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import LOGITS, OPTION_START, OPTION_TOKENS
from pocketllm.runtime.data.batches import Row, each_micro_batch
from pocketllm.runtime.data.encoded import Encoded

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

TEXTS = Path(__file__).parents[2] / "golden" / "real_text"
TOLERANCE = 1e-4  # nats; measured: 6.7e-5 (litert), 5.1e-5 (tflite)
LENGTHS = (32, 64, 96, 128, 160, 1088)
# A row a token is a forward pass of all that stands before it; the engine tflite is the slower one.
EVERY = {"litert": 1, "tflite": 8}
FAR = 64  # of the long text's tokens every so many: behind a thousand others the angles are large


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The file with the real weights."""
    return smollm2.needed()


@pytest.fixture(scope="module")
def bundle(gguf, tmp_path_factory):
    """All parameters in fp32; a row scores the one token behind its prompt."""
    out = tmp_path_factory.mktemp("smollm2") / "bundle"
    lengths = ",".join(map(str, LENGTHS))
    done = pocketllm(
        "export", f"--model={gguf}", "--task=copa", "--option_tokens=1", "--batch_size=8",
        f"--lengths={lengths}", f"--out={out}", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_bundle(out)


@pytest.fixture(scope="module")
def texts(bundle):
    """The ids of ten paragraphs, and of all of them as one text."""
    from tokenizers import Tokenizer

    paragraphs = json.loads((TEXTS / "paragraphs.json").read_text(encoding="utf-8"))
    assert len(paragraphs) == 10
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
    return [tokenizer.encode(text).ids for text in [*paragraphs, "\n\n".join(paragraphs)]]


@pytest.fixture(scope="module")
def expected(gguf, texts):
    """transformers' log-probabilities, a list a text."""
    from desktop_child import in_child

    return in_child("smollm2_reference.log_probabilities", gguf, texts)


def sequence_of(ids, place):
    """Returns a text up to this token, which is the one that is scored."""
    target = {OPTION_START: place, OPTION_TOKENS: 1}
    return Encoded(np.array(ids[: place + 1], np.int32), target, False)


def log_probabilities(model, ids, places):
    """Returns the log-probability of each of these tokens behind those before it."""
    bundle = model.bundle
    rows = [Row((sequence_of(ids, place),), None) for place in places]
    scores = np.full(len(rows), np.nan)
    pad = bundle.special_tokens.pad
    for batch in each_micro_batch(rows, bundle.batch_size, bundle.lengths, pad):
        scores[list(batch.members)] = model.forward(batch)[LOGITS][: batch.rows, 0]
    return scores


@pytest.mark.parametrize("engine_name", ENGINES)
def test_every_token_of_ten_paragraphs_is_as_likely_as_in_transformers(
    engine_name, bundle, texts, expected, open_ready
):
    model, worst = open_ready(bundle, engine_name), []
    for ids, values in zip(texts[:-1], expected):
        places = range(1, len(ids), EVERY[engine_name])
        actual = log_probabilities(model, ids, places)
        worst.append(np.abs(actual - values[[place - 1 for place in places]]).max())
    print(f"{engine_name}: log-probabilities differ by {max(worst):.1e} nats at most")
    assert max(worst) <= TOLERANCE
    assert np.mean(np.concatenate(expected)) > -4, "weights that know no language prove little"


def test_tokens_behind_a_thousand_others_are_as_likely_as_in_transformers(
    bundle, texts, expected, open_ready
):
    ids, values = texts[-1], expected[-1]
    assert len(ids) > 1000
    places = range(len(ids) - 1, len(ids) // 2, -FAR)

    actual = log_probabilities(open_ready(bundle, "litert"), ids, places)

    worst = np.abs(actual - values[[place - 1 for place in places]]).max()
    print(f"up to {len(ids)} tokens: log-probabilities differ by {worst:.1e} nats at most")
    assert worst <= TOLERANCE
