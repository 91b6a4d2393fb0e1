"""What the tests of the native program share."""

import native_program
import pytest
from native_program import with_rows
from small_runs import pocketllm, rows

TRAIN = rows(23, seed=1)
# Small, for the emulated processor is slow.
PRESETS = {
    "full": {"model": "roberta-micro", "tune": "full"},
    "lora-int8": {"model": "opt-micro", "tune": "lora", "base": "int8"},
    "pairs": {"model": "opt-micro", "tune": "lora", "base": "int8", "pairs": "true"},
}


@pytest.fixture(scope="session", autouse=True)
def _program():
    """The program, which `make native` builds."""
    if not native_program.PROGRAM.exists():
        pytest.skip("build/native/pocketllm-train is not there; `make native` builds it")


@pytest.fixture(scope="session")
def small(golden_bundle, tmp_path_factory):
    """The committed bundle with data, and their rows: a folder that tests only read."""
    return with_rows(tmp_path_factory.mktemp("small"), TRAIN, golden_bundle.folder)


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """Exports one of PRESETS, once, beside data and their rows: name -> its folder."""
    folders = {}

    def make(name):
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            values = {"task": "sst2", "lengths": "16,32", "batch_size": 2, "out": folder / "bundle"}
            flags = native_program.flags_of(**PRESETS[name], **values)
            assert (done := pocketllm("export", *flags, timeout=600)).returncode == 0, done.stderr
            folders[name] = with_rows(folder, TRAIN)
        return folders[name]

    return make
