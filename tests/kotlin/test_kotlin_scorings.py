"""Batches of docs/kotlin.md's code for every scoring: the losses are the runtime's."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from kotlin_rows import losses_along, write_rows
from opt_forward import task_of

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import GOLD, OPTIONS, TOKEN_LOSS, WORDS
from pocketllm.runtime.data.batches import Row
from pocketllm.runtime.data.encoded import Encoded

pytestmark = pytest.mark.desktop
CAUSAL = Path(__file__).parents[1] / "conformance" / "causal"


@pytest.fixture(scope="module")
def bundle_of(make_opt_checkpoint, make_bundle, tmp_path_factory):
    """Returns a causal bundle with a scoring."""

    def make(scoring):
        if scoring == GOLD:
            return read_bundle(shutil.copytree(CAUSAL, tmp_path_factory.mktemp("gold") / "tiny"))
        from pocketllm.export.tune.lora import Lora

        tuned = {"kind": "lora", "base": "int8", "lora": Lora()}
        return make_bundle(make_opt_checkpoint(), task=task_of(scoring), generate=False, **tuned)

    return make


def random_rows(bundle, count):
    """Draws training rows of every length."""
    rng = np.random.default_rng(len(bundle.scoring))
    options = len(bundle.task.words) if bundle.scoring == OPTIONS else 1

    def sequence():
        tokens = int(rng.integers(4, bundle.lengths[-1] + 1))
        ids = rng.integers(4, bundle.config["vocab_size"], tokens).astype(np.int32)
        if bundle.scoring == TOKEN_LOSS:
            learnt = rng.integers(0, 2, tokens).astype(np.int32)
            learnt[1] = 1
            return Encoded(ids, {}, False, learnt)
        if bundle.scoring == WORDS:
            return Encoded(ids, {"last_position": tokens - 1}, False)
        scored = int(rng.integers(1, min(bundle.option_tokens, tokens - 1) + 1))
        return Encoded(ids, {"option_start": tokens - scored, "option_tokens": scored}, False)

    has_label = bundle.scoring in (WORDS, OPTIONS)
    return [
        Row(tuple(sequence() for _ in range(options)), n % 2 if has_label else None)
        for n in range(count)
    ]


@pytest.mark.parametrize("scoring", [WORDS, OPTIONS, GOLD, TOKEN_LOSS])
def test_losses_of_every_scoring_are_the_runtimes(scoring, kotlin, bundle_of, open_ready, tmp_path):
    bundle = bundle_of(scoring)
    assert bundle.scoring == scoring
    rows, seed, eps = random_rows(bundle, 2 * bundle.batch_size + 1), 9, 1e-2

    result = kotlin.well(
        tmp_path, "probe", bundle=bundle.folder, packed=tmp_path, seed=seed, eps=eps,
        rows=write_rows(tmp_path / "rows.json", rows),
    )  # fmt: skip

    assert result.numbers("losses") == [
        losses_along(open_ready(bundle, "litert"), rows, seed=seed, eps=eps)
    ]
