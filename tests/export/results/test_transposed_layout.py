"""Matrices of bundles that hold them transposed, as all did before."""

import numpy as np
import pytest

from pocketllm.runtime.bundle.contents import Parameter

pytestmark = pytest.mark.desktop


@pytest.mark.parametrize("transposed", [False, True])
def test_chunks_of_either_layout_become_the_checkpoints_matrix(transposed):
    from pocketllm.export.results.trained_tensors import in_checkpoint_layout

    matrix = np.arange(15, dtype=np.float32).reshape(5, 3)
    rows = [matrix[:2], matrix[2:]]
    chunks = [chunk.T[None] for chunk in rows] if transposed else rows
    parameter = Parameter("layer.weight", (5, 3), transposed, True, ())

    np.testing.assert_array_equal(in_checkpoint_layout(parameter, chunks), matrix)
