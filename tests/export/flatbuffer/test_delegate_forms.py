"""Operators that the delegate does not take, rewritten: one partition, and the same numbers."""

import numpy as np
import pytest
from delegate import nodes_of, partitions_of

pytestmark = pytest.mark.desktop

RNG = np.random.default_rng(3)
X = RNG.standard_normal((1, 24, 6)).astype(np.float32)
Y = RNG.standard_normal((1, 24, 4)).astype(np.float32)


def joined(count):
    """Returns (function that concatenates that many tensors, what it gives for X and Y)."""

    def function(tensorflow, x, y):
        return tensorflow.concat([x * float(n + 1) for n in range(count)], -1) + 1.0

    expected = np.concatenate([X * (n + 1) for n in range(count)], -1) + 1
    return function, expected


def product(exchanged):
    """Returns (function of a product whose first operand is transposed, what it gives)."""

    def function(tensorflow, x, y):
        # the result of [24, 6] and [24, 4] is small beside the first, of [24, 4] and [24, 6] too
        first, second = (x, y[:, :, :1]) if exchanged else (y, x)
        return tensorflow.matmul(first * 2.0, second, transpose_a=True)

    first, second = (X, Y[:, :, :1]) if exchanged else (Y, X)
    return function, np.swapaxes(first * 2, 1, 2) @ second


CASES = {
    "four joined": joined(4),
    "five joined": joined(5),
    "seven joined": joined(7),
    "seventeen joined": joined(17),
    "the second operand transposed": product(exchanged=True),
    "the first operand transposed": product(exchanged=False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rewritten_operator_computes_the_same_inside_the_delegate(case):
    import ai_edge_litert.interpreter as litert
    import tensorflow as tf

    from pocketllm.export.flatbuffer.bind import bind
    from pocketllm.export.flatbuffer.convert import ConvertedFunction, Input, convert
    from pocketllm.export.flatbuffer.model import new_model, serialise
    from pocketllm.runtime.engine.private_interface import open_interpreter

    graph, expected = CASES[case]
    inputs = {"x": Input(X.shape, tf.float32), "y": Input(Y.shape, tf.float32)}
    flatbuffer = convert(lambda t: {"z": graph(tf, t["x"], t["y"])}, inputs)
    model = new_model("forms")
    function = ConvertedFunction("forms", flatbuffer, inputs=list(inputs), variables={})
    bind(model, function)

    interpreter = open_interpreter(litert, 1, model_content=serialise(model)[0])
    result = interpreter.get_signature_runner("forms")(x=X, y=Y)["z"]

    assert np.abs(result - expected).max() <= 1e-6 * np.abs(expected).max()
    nodes = nodes_of(interpreter)
    (partition,) = partitions_of(nodes)
    assert len(partition) == sum(name != "DELEGATE" for name, *_ in nodes)
