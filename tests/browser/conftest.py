"""What the tests of examples/browser share."""

import litert_js
import pytest
from native_program import with_rows
from small_runs import rows

from pocketllm.tflite_models.presets import MICRO

# Two of them are longer than the others' bucket.
TRAIN = [*rows(21, seed=1), ("it was " + "a great film and " * 4, 1), ("so " * 20, 0)]


@pytest.fixture(scope="session", autouse=True)
def _package():
    """LiteRT.js, which `make browser` installs."""
    litert_js.needed()


@pytest.fixture(scope="session")
def small(golden_bundle, tmp_path_factory):
    """The committed bundle with data, and their rows: a folder that tests only read."""
    return with_rows(tmp_path_factory.mktemp("small"), TRAIN, golden_bundle.folder)


@pytest.fixture(scope="session")
def micro(make_bundle, tmp_path_factory):
    """roberta-micro with LoRA, by its base, beside data and their rows: base -> its folder."""
    from pocketllm.export.tune.lora import Lora

    folders = {}

    def make(base):
        if base not in folders:
            tuned = {"kind": "lora", "base": base, "lora": Lora()}
            bundle = make_bundle(MICRO, batch_size=4, lengths=(16, 32), **tuned)
            folders[base] = with_rows(tmp_path_factory.mktemp(base), TRAIN, bundle.folder)
        return folders[base]

    return make
