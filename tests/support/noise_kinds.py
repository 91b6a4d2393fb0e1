"""Tests of every noise kind, with the fixture `noise_bundle`."""

import pytest

from pocketllm.runtime.contract import NOISE_KINDS

# Tests with a parameter `kind`, each kind in turn; on a phone the committed bundle's alone.
in_graph = pytest.mark.parametrize(
    "kind",
    ["golden", *(pytest.param(kind, marks=pytest.mark.desktop) for kind in NOISE_KINDS)],
)
