"""What the tests of private federations share, a plugin: data, and the committed bundle, open."""

from dataclasses import replace

import pytest
from private_plans import EXAMPLES


@pytest.fixture
def data(train_data):
    """EXAMPLES of the small runs' data."""
    return replace(train_data, examples=train_data.examples[:EXAMPLES])


@pytest.fixture
def model(golden_bundle, open_ready):
    """The committed bundle, open and initialised."""
    return open_ready(golden_bundle, "litert")
