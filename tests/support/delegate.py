"""What an interpreter's delegate took of a graph."""

import shutil
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.private_interface import DELEGATE_NODE

MATMULS = ("BATCH_MATMUL", "FULLY_CONNECTED")


def nodes_of(interpreter):
    """Returns [(name, inputs, outputs)] of subgraph 0, original nodes and the delegate's."""
    wrapper = interpreter._interpreter
    return [
        (wrapper.NodeName(i), list(wrapper.NodeInputs(i)), list(wrapper.NodeOutputs(i)))
        for i in range(wrapper.NumNodes())
    ]


def with_first_subgraph(bundle: Bundle, signature: str, folder: Path) -> Bundle:
    """Copies a bundle with its subgraph 0 and a signature's swapped.

    Python's interpreter lists the nodes of subgraph 0 only.
    """
    shutil.copytree(bundle.folder, folder)
    data = bytearray(bundle.model_path.read_bytes())
    model = schema.Model.GetRootAs(data, 0)
    definitions = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    index = {s.SignatureKey().decode(): s.SubgraphIndex() for s in definitions}[signature]
    vector = model._tab.Vector(model._tab.Offset(8))  # of `subgraphs`: offsets from their places
    places = (vector, vector + 4 * index)
    targets = [place + int.from_bytes(data[place : place + 4], "little") for place in places]
    for place, target in zip(places, reversed(targets)):
        data[place : place + 4] = (target - place).to_bytes(4, "little")
    (folder / contract.MODEL_FILE).write_bytes(data)
    return read_bundle(folder, verify=False)


def partitions_of(nodes):
    """Returns, for every DELEGATE node, the set of original nodes that it replaced.

    They are what lies between its outputs and its inputs, and what takes a tensor that is made
    there and is none of its outputs: an update of a variable has no output. An input that one node
    alone takes shows that node.
    """
    producer, takers = {}, {}
    for index, (name, inputs, outputs) in enumerate(nodes):
        if name != DELEGATE_NODE:
            producer |= dict.fromkeys(outputs, index)
            for tensor in inputs:
                takers.setdefault(tensor, []).append(index)
    partitions = []
    for name, inputs, outputs in nodes:
        if name != DELEGATE_NODE:
            continue
        inside, pending = set(), [producer[tensor] for tensor in outputs if tensor in producer]
        pending += [takers[t][0] for t in inputs if len(takers.get(t, ())) == 1]
        while pending:
            index = pending.pop()
            if index in inside:
                continue
            inside.add(index)
            _, before, behind = nodes[index]
            pending += [producer[t] for t in before if t not in inputs and t in producer]
            pending += [taker for t in behind if t not in outputs for taker in takers.get(t, ())]
        partitions.append(inside)
    return partitions


def trained_matrices(bundle) -> list:
    """Returns the trained matrices of a bundle's layers, as opposed to its tables."""
    vocabulary = bundle.config["vocab_size"]
    return [
        parameter
        for parameter in bundle.parameters
        if len(parameter.shape) == 2
        and parameter.shape[0] != vocabulary
        and "embed" not in parameter.name
    ]
