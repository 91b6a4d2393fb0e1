"""docs/kotlin.md, compiled once a session; bundles that its tests share."""

import kotlin_page
import pytest
from kotlin_page import KotlinProgram
from shared_folders import session_root, shared_folder
from small_runs import rows, write_tsv

from pocketllm.tflite_models.presets import MICRO


@pytest.fixture(scope="session")
def kotlin(tmp_path_factory) -> KotlinProgram:
    """The page's code and the tests' driver."""
    kotlin_page.needed()
    root = session_root(tmp_path_factory)
    return KotlinProgram(shared_folder(root, "kotlin", kotlin_page.build))


@pytest.fixture(scope="session")
def micro(make_bundle):
    """roberta-micro, all of it trained, or LoRA on int8, without and with pairs; 4 rows a batch."""
    from pocketllm.export.tune.lora import Lora

    lora = {"kind": "lora", "base": "int8", "lora": Lora()}
    tunings = {"full": {}, "lora": lora, "pairs": lora | {"pairs": True}}
    return lambda tune: make_bundle(MICRO, batch_size=4, lengths=(16, 32), **tunings[tune])


@pytest.fixture(scope="session")
def train_tsv(tmp_path_factory):
    """Rows in SST-2's format, of both lengths."""
    sentences = [*rows(9, seed=1), ("it was " + "a great film and " * 4, 1), ("so " * 20, 0)]
    return write_tsv(tmp_path_factory.mktemp("rows") / "train.tsv", sentences)
