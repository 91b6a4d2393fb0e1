"""Training and dev data for the committed bundle, and data files of any content.

A test module that wants them says `pytest_plugins = ["runtime_fixtures"]`.
"""

from pathlib import Path

import pytest
from small_runs import rows, write_tsv

from pocketllm.runtime.data.dataset import Dataset, load_dataset


@pytest.fixture(scope="session")
def train_file(tmp_path_factory) -> Path:
    """14 examples: not a multiple of any batch size used here."""
    return write_tsv(tmp_path_factory.mktemp("data") / "train.tsv", rows(14, seed=1))


@pytest.fixture(scope="session")
def dev_file(tmp_path_factory) -> Path:
    """17 other examples."""
    return write_tsv(tmp_path_factory.mktemp("data") / "dev.tsv", rows(17, seed=2))


@pytest.fixture(scope="session")
def train_data(train_file, golden_bundle) -> Dataset:
    """The training examples, encoded for the committed bundle."""
    return load_dataset(train_file, golden_bundle)


@pytest.fixture(scope="session")
def dev_data(dev_file, golden_bundle) -> Dataset:
    """The dev examples, encoded for the committed bundle."""
    return load_dataset(dev_file, golden_bundle)


@pytest.fixture
def write(tmp_path):
    """Writes a data file, text as UTF-8 or bytes as they are: (content, name) -> path."""

    def write_file(content, name="data.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write_file
