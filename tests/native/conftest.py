"""What the tests of the native program share."""

import shutil

import native_program
import pytest
from small_runs import rows, write_tsv


@pytest.fixture(scope="session", autouse=True)
def _program():
    """The program, which `make native` builds."""
    if not native_program.PROGRAM.exists():
        pytest.skip("build/native/pocketllm-train is not there; `make native` builds it")


@pytest.fixture(scope="session")
def small(golden_bundle, tmp_path_factory):
    """The committed bundle with data, and their rows: a folder that tests only read."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(golden_bundle.folder, folder / "bundle")
    write_tsv(folder / "train.tsv", rows(23, seed=1))
    write_tsv(folder / "dev.tsv", rows(10, seed=2))
    for name in ("train", "dev"):
        data, out = folder / f"{name}.tsv", folder / f"{name}.rows"
        native_program.encode(folder / "bundle", data, out)
    return folder
