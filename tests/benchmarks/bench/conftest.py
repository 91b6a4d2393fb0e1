"""Races whose search has an end that a test chose."""

import json

import pytest

from pocketllm.benchmarks.bench.race.arms import ARMS


@pytest.fixture(scope="session")
def end_search():
    """Returns a function (out, arm, best=1e-3) that leaves an arm the results of its search."""

    def end(out, arm, best=1e-3):
        (out / "results").mkdir(parents=True, exist_ok=True)
        for lr in ARMS[arm].rates:
            result = {"lr": lr, "curve": [{"step": 1, "loss": -1.0 if lr == best else 0.0}]}
            (out / "results" / f"{arm}-{lr:g}-search.json").write_text(json.dumps(result))

    return end
