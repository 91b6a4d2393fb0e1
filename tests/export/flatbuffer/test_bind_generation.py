"""What generates, in the delegate: every product with the reading of its weights, and its cost."""

import decoder_cases
import numpy as np
import pytest
from delegate import MATMULS, nodes_of, partitions_of, trained_matrices, with_first_subgraph
from small_runs import python
from test_bind import (
    PRINT_PEAK,
    STEP_SCRIPT,
    assert_matmuls_are_in_partitions,
)

from pocketllm.runtime import contract

pytestmark = pytest.mark.desktop

LENGTHS, CONTEXT = (8, 16), 40
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 16}
# What the delegate does not take stands before the first layer; nothing of it computes positions.
ABSENT = {"SIN", "COS", "CUMSUM", "TILE", "BROADCAST_TO", "GATHER_ND", "SCATTER_ND"}
CASES = [*decoder_cases.CASES, "opt"]


def each_generation(bundle, open_ready, folder):
    """Yields (tokens, nodes) of every signature that generates, on LiteRT."""
    for tokens in (*bundle.prefills, 1):
        name = contract.DECODE if tokens == 1 else contract.prefill_for(tokens)
        swapped = with_first_subgraph(bundle, name, folder / str(tokens))
        engine = open_ready(swapped, "litert", interpreter=True).engine
        shapes = [tuple(entry["shape"]) for entry in engine._interpreter.get_input_details()]
        assert (1, tokens) in shapes, "this signature's subgraph is first"
        yield tokens, nodes_of(engine._interpreter)


@pytest.mark.parametrize("case", CASES)
def test_each_matmul_and_the_reads_of_its_weights_are_in_one_partition(
    case, make_decoder, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint = make_opt_checkpoint() if case == "opt" else make_decoder(case=case)
    bundle = make_bundle(checkpoint, task="sft", lengths=LENGTHS, context=CONTEXT, **PIECES)
    layers, vocabulary = bundle.config["num_hidden_layers"], bundle.config["vocab_size"]
    matrices = sum(len(p.variables) for p in trained_matrices(bundle))
    head = [p for p in bundle.parameters if p.shape[0] == vocabulary][-1]
    of_weights = matrices + len(head.variables)
    for tokens, nodes in each_generation(bundle, open_ready, tmp_path):
        # Two of attention a layer; of more tokens than one, where keys and values are written and
        # the last row is chosen too.
        products = of_weights + (2 if tokens == 1 else 4) * layers
        count = sum(name in MATMULS for name, _, _ in nodes)
        assert count >= products
        # Attention reads what was written to the cache, keys and values of every layer.
        assert_matmuls_are_in_partitions(nodes, count, of_weights + 2 * layers)
        names = {name for name, _, _ in nodes}
        assert not ABSENT & names
        products = {i for i, (name, _, _) in enumerate(nodes) if name in MATMULS}
        assert any(products <= inside for inside in partitions_of(nodes)), "all in one partition"
        caches = [name for name, _, _ in nodes if name == "ASSIGN_VARIABLE"]
        assert len(caches) == 2 * layers


GENERATE = """
if len(sys.argv) > 2:
    model.initialize_cache()
    for bucket in (*bundle.prefills, 1):
        model.prefill([5] * bucket, 0, bucket)
"""
MEASURE = STEP_SCRIPT + GENERATE + PRINT_PEAK


@pytest.mark.parametrize("tune", [contract.FULL, contract.LORA])
def test_a_run_that_generates_nothing_takes_the_memory_that_it_took(
    tune, make_decoder, make_bundle
):
    """A context that would show: its cache takes 16 MB."""
    checkpoint = make_decoder(
        case="llama", hidden_size=256, intermediate_size=512, max_position_embeddings=4096
    )
    settings = {"task": "sft", "lengths": LENGTHS, "kind": tune}
    without = make_bundle(checkpoint, generate=False, **settings)
    bundle = make_bundle(checkpoint, context=4096, **settings)
    cache = 4 * 2 * 2 * 2 * 64 * 4096  # keys and values, layers, heads, width, positions
    assert without.context == 0 and cache == 4 * 4096 * 512

    def measured(folder, *arguments):
        done = python(f"import sys; sys.argv = {['', str(folder), *arguments]!r}\n{MEASURE}")
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    usual, more = measured(without.folder), measured(bundle.folder)
    all_of_it = measured(bundle.folder, "generate")
    assert more <= usual + 2_000_000
    assert cache <= all_of_it - more, "the cache takes memory once it is initialised"
    assert np.isfinite(usual)
