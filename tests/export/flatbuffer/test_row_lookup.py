"""The look-up of one row in chunks of a trained table, on its own."""

import numpy as np
import pytest
from conftest import ENGINES

from pocketllm.runtime.engine.interpreter import InterpreterEngine

pytestmark = pytest.mark.desktop

ROWS, WIDTH, PER_CHUNK = 11, 4, 3  # four chunks, the last one of two rows


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model with `row`, and the signatures that move the table's chunks."""
    from pocketllm.export.flatbuffer.model import add_signature, new_model, serialise
    from pocketllm.export.flatbuffer.operators import add_tensor, new_subgraph
    from pocketllm.export.flatbuffer.row_lookup import look_up_row
    from pocketllm.export.flatbuffer.variables import variables_of
    from pocketllm.export.graph.parameters import table
    from pocketllm.export.signatures.state import bind_transfers

    chunks = variables_of([table("table", ROWS, WIDTH)], chunk_values=PER_CHUNK * WIDTH)
    assert [chunk.shape for chunk in chunks] == [(3, WIDTH)] * 3 + [(2, WIDTH)]
    model = new_model("look-up")
    subgraph = new_subgraph("row")
    ids = add_tensor(subgraph, "ids", [1, 1], np.int32)
    row = add_tensor(subgraph, "row", [1, WIDTH], np.float32)
    subgraph.operators = look_up_row(model, subgraph, ids, chunks, row)
    add_signature(model, "row", subgraph, {"ids": ids}, {"row": row})
    bind_transfers(model, [chunks])
    flatbuffer, places = serialise(model)
    path = tmp_path_factory.mktemp("look-up") / "model.tflite"
    path.write_bytes(flatbuffer.ljust(max(sum(place) for place in places.values()), b"\0"))
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_is_the_tables_as_it_stands_now(model_file, engine):
    interpreter = InterpreterEngine(engine, model_file, 1)
    values = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    chunks = np.split(values, range(PER_CHUNK, ROWS, PER_CHUNK))
    interpreter.run("write_0", **{f"table/{i}": chunk for i, chunk in enumerate(chunks)})
    for number in (*range(ROWS), 0, ROWS - 1, 5, 5):
        row = interpreter.run("row", ids=np.array([[number]], np.int32))["row"]
        np.testing.assert_array_equal(row[0], values[number])
    interpreter.run("write_0", **{f"table/{i}": -chunk for i, chunk in enumerate(chunks)})
    row = interpreter.run("row", ids=np.array([[7]], np.int32))["row"]
    np.testing.assert_array_equal(row[0], -values[7])
