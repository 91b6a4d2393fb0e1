"""Training and dev data for the committed bundle.

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
