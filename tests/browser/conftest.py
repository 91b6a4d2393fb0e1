"""What the tests of examples/browser share."""

import shutil

import litert_js
import pytest
from native_program import encode
from small_runs import rows, write_tsv

from pocketllm.tflite_models.presets import MICRO


@pytest.fixture(scope="session", autouse=True)
def _package():
    """LiteRT.js, which `make browser` installs."""
    litert_js.needed()


@pytest.fixture(scope="session")
def small(golden_bundle, tmp_path_factory):
    """The committed bundle with data, and their rows: a folder that tests only read."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(golden_bundle.folder, folder / "bundle")
    return with_rows(folder)


@pytest.fixture(scope="session")
def micro(make_bundle, tmp_path_factory):
    """roberta-micro with LoRA, by its base, beside data and their rows: base -> its folder."""
    from pocketllm.export.tune.lora import Lora

    folders = {}

    def make(base):
        if base not in folders:
            tuned = {"kind": "lora", "base": base, "lora": Lora()}
            bundle = make_bundle(MICRO, batch_size=4, lengths=(16, 32), **tuned)
            folders[base] = tmp_path_factory.mktemp(base)
            shutil.copytree(bundle.folder, folders[base] / "bundle")
            with_rows(folders[base])
        return folders[base]

    return make


def with_rows(folder):
    """Puts data and their rows beside the bundle in a folder, and returns the folder."""
    longer = [("it was " + "a great film and " * 4, 1), ("so " * 20, 0)]
    write_tsv(folder / "train.tsv", [*rows(21, seed=1), *longer])
    write_tsv(folder / "dev.tsv", rows(10, seed=2))
    for name in ("train", "dev"):
        encode(folder / "bundle", folder / f"{name}.tsv", folder / f"{name}.rows")
    return folder
