"""What an interpreter's delegate took of a graph."""

from pocketllm.runtime.engine.private_interface import DELEGATE_NODE

MATMULS = ("BATCH_MATMUL", "FULLY_CONNECTED")


def nodes_of(interpreter):
    """Returns [(name, inputs, outputs)] of subgraph 0, original nodes and the delegate's."""
    wrapper = interpreter._interpreter
    return [
        (wrapper.NodeName(i), list(wrapper.NodeInputs(i)), list(wrapper.NodeOutputs(i)))
        for i in range(wrapper.NumNodes())
    ]


def partitions_of(nodes):
    """Returns, for every DELEGATE node, the set of original nodes that it replaced.

    They are what lies between its outputs and its inputs.
    """
    producer = {
        tensor: index
        for index, (name, _, outputs) in enumerate(nodes)
        if name != DELEGATE_NODE
        for tensor in outputs
    }
    partitions = []
    for name, inputs, outputs in nodes:
        if name != DELEGATE_NODE:
            continue
        inside, pending = set(), list(outputs)
        while pending:
            tensor = pending.pop()
            index = producer.get(tensor)
            if tensor not in inputs and index is not None and index not in inside:
                inside.add(index)
                pending += nodes[index][1]
        partitions.append(inside)
    return partitions
