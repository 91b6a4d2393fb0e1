"""Decoders in the delegate: every product, forward and in a step of Adam; constants in the file."""

import decoder_cases
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from delegate import MATMULS, nodes_of, trained_matrices
from gradients import export_adam_first
from opt_forward import task_of
from test_bind import assert_matmuls_are_in_partitions, each_forward_nodes

from pocketllm.runtime.contract import GOLD, WORDS, forward_loss_for

pytestmark = pytest.mark.desktop

LENGTHS = (24, 270)  # one block of attention, and two
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 16}
# What the delegate does not take stands before the first layer; nothing of it computes positions.
ABSENT = {"SIN", "COS", "CUMSUM", "TILE", "BROADCAST_TO", "GATHER_ND", "SCATTER_ND"}


def products_and_reads(bundle, scoring):
    """Returns how many products take a variable: of every matrix, and of the head's chunks."""
    matrices = sum(len(p.variables) for p in trained_matrices(bundle))
    vocabulary = bundle.config["vocab_size"]
    head = [p for p in bundle.parameters if p.shape[0] == vocabulary][-1]
    return matrices + (len(head.variables) if scoring == GOLD else 0)


@pytest.mark.parametrize("case", decoder_cases.CASES)
def test_in_every_bucket_each_matmul_and_the_reads_of_its_weights_are_in_one_partition(
    case, make_decoder, make_bundle, open_ready, tmp_path
):
    bundle = make_bundle(make_decoder(case=case), lengths=LENGTHS, **PIECES)
    assert bundle.scoring == WORDS
    layers = bundle.config["num_hidden_layers"]
    for tokens, nodes in each_forward_nodes(bundle, open_ready, tmp_path):
        blocks = 2 if tokens > 256 else 1
        of_weights = products_and_reads(bundle, WORDS)
        products = sum(name in MATMULS for name, _, _ in nodes)
        assert products > of_weights + 2 * (blocks * (layers - 1) + 1)
        assert_matmuls_are_in_partitions(nodes, products, of_weights)
        assert not ABSENT & {name for name, _, _ in nodes}


@pytest.mark.parametrize("case", ["llama_wide", "qwen3", "gemma3"])
def test_in_a_step_of_adam_too(case, make_decoder, open_ready, tmp_path):
    bundle = export_adam_first(
        make_decoder(case=case), tmp_path / "bundle", task=task_of(GOLD), lengths=(140,), **PIECES
    )
    nodes = nodes_of(open_ready(bundle, "litert", interpreter=True).engine._interpreter)
    products = [inputs for name, inputs, _ in nodes if name in MATMULS]
    reads = {outputs[0] for name, _, outputs in nodes if name == "READ_VARIABLE"}
    of_weights = products_and_reads(bundle, GOLD)
    weights_read = sum(len(reads & set(inputs)) for inputs in products)

    assert len(products) > 3 * of_weights - 8, "forward, by the rows and by the weights"
    assert weights_read >= of_weights
    assert_matmuls_are_in_partitions(nodes, len(products), weights_read)


def test_tables_of_rope_and_masks_are_constants_of_the_file(make_decoder, make_bundle):
    from pocketllm.export.graph.causal import causal_bias
    from pocketllm.export.graph.rotary import rotary_tables
    from pocketllm.export.models import model_config

    bundle = make_bundle(make_decoder(case="gemma3"), lengths=LENGTHS, **PIECES)
    config = model_config(
        decoder_cases.config_values("gemma3", bundle.config["vocab_size"]), "config.json"
    )
    expected = [causal_bias(range(24), 24, 0, window) for window in (None, config.sliding_window)]
    for rope in config.rope_parameters.values():
        expected += rotary_tables(rope, 0, 24, config.head_dim)
    data = bundle.model_path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    places = {s.signatureKey.decode(): s.subgraphIndex for s in model.signatureDefs}
    subgraph = model.subgraphs[places[forward_loss_for(24)]]
    constants = [
        np.frombuffer(bytes(buffer.data), np.float32)
        for tensor in subgraph.tensors
        if tensor.type == schema.TensorType.FLOAT32
        and (buffer := model.buffers[tensor.buffer]).data is not None
    ]

    for table in expected:
        assert any(np.array_equal(values, table.ravel()) for values in constants), table.shape
