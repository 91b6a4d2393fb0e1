"""Binding: matmuls in the delegate, no weight copied, signatures as described."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import tiny
from ai_edge_litert import schema_py_generated as schema
from delegate import MATMULS, nodes_of, partitions_of, trained_matrices, with_first_subgraph

from pocketllm.runtime import contract

# Opens a bundle, and makes a MeZO step's calls in both buckets.
STEP_SCRIPT = """
import json, sys
import numpy as np
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.host.memory import PeakMemory, read_status
from pocketllm.runtime.engine.model import open_model

bundle = read_bundle(sys.argv[1])
open_model(bundle, threads=1)  # the libraries' own memory is no part of the figure
before, _ = read_status()
peak = PeakMemory()
model = open_model(bundle, threads=1)
model.initialize()
for scale in (1e-3, -2e-3, 1e-3):
    model.perturb(1, scale)
    for tokens in bundle.lengths:
        signature = contract.forward_loss_for(tokens)
        entries = bundle.signatures[signature]["inputs"].items()
        model.engine.run(signature, **{name: np.ones(s, d) for name, (d, s) in entries})
"""
PRINT_PEAK = "print(json.dumps(peak.stop().anon_bytes - before))\n"
PEAK_SCRIPT = STEP_SCRIPT + PRINT_PEAK


@pytest.fixture(
    scope="module",
    params=[
        "golden",
        pytest.param("tied", marks=pytest.mark.desktop),
        pytest.param("untied", marks=pytest.mark.desktop),
        pytest.param("lora", marks=pytest.mark.desktop),
    ],
)
def bundle(request):
    """The committed bundle (one layer), and three exported here (two layers)."""
    if request.param == "golden":
        return request.getfixturevalue("golden_bundle")
    if request.param == "tied":
        return request.getfixturevalue("chunked_bundle")
    make_checkpoint = request.getfixturevalue("make_checkpoint")
    tune = "lora" if request.param == "lora" else "full"
    return request.getfixturevalue("make_bundle")(make_checkpoint(tied=False), kind=tune)


@pytest.fixture(scope="module")
def flatbuffer(bundle):
    """The schema object of the bundle's model file."""
    data = bundle.model_path.read_bytes()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def assert_matmuls_are_in_partitions(nodes, matmul_count, weight_count):
    """Checks that every matmul, and every read of a weight that it takes, is in one partition.

    Args:
      nodes: from nodes_of.
      matmul_count: how many products the graph has.
      weight_count: how many of these take a variable.
    """
    partitions = partitions_of(nodes)
    matmuls = [i for i, (name, _, _) in enumerate(nodes) if name in MATMULS]
    reads = {nodes[i][2][0]: i for i in range(len(nodes)) if nodes[i][0] == "READ_VARIABLE"}

    assert len(matmuls) == matmul_count
    weights_read = 0
    for index in matmuls:
        name, inputs, _ = nodes[index]
        homes = [inside for inside in partitions if index in inside]
        assert name == "BATCH_MATMUL" and len(homes) == 1
        for tensor in inputs:
            if tensor in reads:
                weights_read += 1
                assert reads[tensor] in homes[0]
    assert weights_read == weight_count


def each_forward_nodes(bundle, open_ready, folder):
    """Yields (tokens, nodes) of every bucket's forward signature on LiteRT."""
    assert len(bundle.lengths) > 1
    for tokens in bundle.lengths:
        signature = contract.forward_loss_for(tokens)
        swapped = with_first_subgraph(bundle, signature, folder / str(tokens))
        interpreter = open_ready(swapped, "litert", interpreter=True).engine._interpreter
        shapes = {tuple(entry["shape"]) for entry in interpreter.get_input_details()}
        assert any(shape[1:] == (tokens,) for shape in shapes), "this bucket's subgraph is first"
        yield tokens, nodes_of(interpreter)


@pytest.mark.parametrize(
    "name", ["golden", *(pytest.param(name, marks=pytest.mark.desktop) for name in tiny.CASES)]
)
def test_in_every_bucket_each_matmul_and_the_reads_of_its_weights_are_in_one_partition(
    name, request, open_ready, tmp_path
):
    """For every activation that a checkpoint may have; the committed bundle's is gelu."""
    if name == "golden":
        bundle = request.getfixturevalue("golden_bundle")
    else:
        changes, settings = tiny.CASES[name]
        checkpoint = request.getfixturevalue("make_checkpoint")(hidden_act=name, **changes)
        bundle = request.getfixturevalue("make_bundle")(checkpoint, **settings)
    layers = bundle.config["num_hidden_layers"]
    for _, nodes in each_forward_nodes(bundle, open_ready, tmp_path):
        # Six projections and two of attention a layer; the mask's row, the dense, the decoder.
        assert_matmuls_are_in_partitions(nodes, 8 * layers + 3, 6 * layers + 1)


OPT_350M = {"do_layer_norm_before": False, "word_embed_proj_dim": 8}


@pytest.mark.desktop
@pytest.mark.parametrize("changes", [{}, OPT_350M], ids=["opt", "opt_350m"])
@pytest.mark.parametrize("task", ["sst2", "copa"])
def test_in_every_bucket_of_opt_too(
    task, changes, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint = make_opt_checkpoint(max_position_embeddings=300, **changes)
    bundle = make_bundle(
        checkpoint, task=task, lengths=(16, 270), chunk_values=16 * 100, linear_values=200
    )
    layers = bundle.config["num_hidden_layers"]
    matrices = [len(p.variables) for p in trained_matrices(bundle)]
    assert len(matrices) == 6 * layers + (2 if changes else 0) and max(matrices) > 1
    head = next(p for p in bundle.parameters if "embed_tokens" in p.name).variables
    assert len(head) > 1
    for tokens, nodes in each_forward_nodes(bundle, open_ready, tmp_path):
        blocks = 2 if tokens > 256 else 1  # of attention; the scored rows of the last layer are one
        attention = 2 * (blocks * (layers - 1) + 1)
        # Choosing the scored rows, and the label words' logits; or the option's own embeddings,
        # and the logits of every chunk of the vocabulary.
        last, chunks = (2, 0) if task == "sst2" else (2 + len(head), len(head))
        assert_matmuls_are_in_partitions(
            nodes, sum(matrices) + attention + last, sum(matrices) + chunks
        )


def test_without_a_delegate_no_matmul_is_inside_a_partition(bundle):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(bundle.model_path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    nodes = nodes_of(interpreter)

    assert sum(name in MATMULS for name, _, _ in nodes) > 8
    assert partitions_of(nodes) == []


@pytest.mark.desktop
def test_a_run_holds_its_weights_once(make_checkpoint, make_bundle):
    checkpoint = make_checkpoint(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=4,
        num_attention_heads=12,
        max_position_embeddings=66,
    )
    bundle = make_bundle(checkpoint, batch_size=2, lengths=(32, 64))
    weights = sum(4 * int(np.prod(v.shape)) for v in bundle.variables)
    assert weights > 110e6

    done = subprocess.run(
        [sys.executable, "-c", PEAK_SCRIPT, str(bundle.folder)],
        capture_output=True,
        text=True,
        check=True,
    )

    # Above the weights: the scaled codebook (4 MB), z of the largest variable and its place in the
    # arena (2 x 9.4 MB), activations: 31 MB measured. A copy of the weights would be 117 MB more.
    assert weights < int(done.stdout) < weights + 45e6


def test_the_signatures_are_those_of_bundle_json(bundle, engine, open_ready):
    interpreter = open_ready(bundle, engine, interpreter=True).engine._interpreter

    def described(details):
        return {
            name: [np.dtype(tensor["dtype"]).name, [int(n) for n in tensor["shape"]]]
            for name, tensor in details.items()
        }

    signatures = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        signatures[name] = {
            "inputs": described(runner.get_input_details()),
            "outputs": described(runner.get_output_details()),
        }
    assert signatures == bundle.signatures
    transfers = [contract.INITIALIZE, contract.READ, contract.WRITE]
    assert set(signatures) == {
        *map(contract.forward_loss_for, bundle.lengths),
        contract.FORWARD_LOSS,
        *contract.NOISE_PASSES,
        contract.PERTURB_TWO,
        contract.DECAY,
        *(contract.numbered(stem, i) for stem in transfers for i in range(bundle.slices)),
    }


def test_forward_loss_is_the_longest_bucket(bundle, flatbuffer):
    places = {s.signatureKey.decode(): s.subgraphIndex for s in flatbuffer.signatureDefs}
    longest = contract.forward_loss_for(max(bundle.lengths))

    assert len(bundle.lengths) > 1
    assert places[contract.FORWARD_LOSS] == places[longest]
    assert bundle.signatures[contract.FORWARD_LOSS] == bundle.signatures[longest]
    assert places[contract.forward_loss_for(min(bundle.lengths))] == 0


def test_every_input_has_a_rank_and_no_output_is_an_input(flatbuffer):
    assert len(flatbuffer.signatureDefs) >= 8
    for signature in flatbuffer.signatureDefs:
        subgraph = flatbuffer.subgraphs[signature.subgraphIndex]
        computed = {index for operator in subgraph.operators for index in operator.outputs}
        for entry in signature.inputs or []:
            assert len(subgraph.tensors[entry.tensorIndex].shape) >= 1, entry.name
            assert entry.tensorIndex not in computed
        for entry in signature.outputs:
            assert entry.tensorIndex in computed, entry.name


def test_every_operator_is_built_in(flatbuffer):
    kinds = vars(schema.BuiltinOperator)
    custom = {kinds["CUSTOM"], kinds["DELEGATE"]}
    newer = {code for kind, code in kinds.items() if kind.startswith("STABLEHLO")}
    used = {max(c.builtinCode, c.deprecatedBuiltinCode) for c in flatbuffer.operatorCodes}

    assert len(used) > 10 and len(newer) > 10
    assert not used & (custom | newer)


def test_equal_constants_of_a_signature_are_stored_once_and_no_metadata_is_added(flatbuffer):
    buffers, shared = flatbuffer.buffers, 0
    for subgraph in flatbuffer.subgraphs:
        places = [t.buffer for t in subgraph.tensors if buffers[t.buffer].data is not None]
        values = {bytes(buffers[place].data) for place in places}
        assert len(set(places)) == len(values), subgraph.name
        shared += len(places) - len(values)
    assert shared > 0
    assert not flatbuffer.metadata


def test_external_buffers_lie_apart_behind_the_flatbuffer_and_hold_the_values(
    bundle, flatbuffer, open_ready
):
    values = dict(open_ready(bundle, "litert").read())
    data = bundle.model_path.read_bytes()
    places = sorted((b.offset, b.size) for b in flatbuffer.buffers if b.offset)
    for (offset, size), (following, _) in pairwise(places):
        assert offset + size <= following
    assert all(offset % 64 == 0 for offset, _ in places)
    assert places[0][0] % 4096 == 0 and sum(places[-1]) == len(data)
    assert len(places) > len(values), "the noise constants are external too"

    compared = 0
    for subgraph in flatbuffer.subgraphs:
        if subgraph.name.decode().startswith(contract.INITIALIZE):
            for tensor in subgraph.tensors:
                name, buffer = tensor.name.decode(), flatbuffer.buffers[tensor.buffer]
                if name in values:
                    stored = data[buffer.offset : buffer.offset + buffer.size]
                    assert stored == values[name].tobytes()
                    compared += 1
    assert compared == len(values)
