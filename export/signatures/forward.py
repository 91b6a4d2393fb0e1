"""The forward pass of one length bucket: its inputs, and the loss as a function of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.constants import SCALES, Constant, scales_of
from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable, chunks_of
from ..graph.layers import ScaledRows
from ..graph.recompute import BARRIER, Recomputation
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from ..models import architecture_of

HEAD = "head"


@dataclass(frozen=True)
class ForwardGraph:
    """A forward pass to convert, or to take the gradient of.

    Attributes:
      inputs: every input by name, those that are weights included.
      variables: input name -> variable that is read into it.
      constants: input name -> constant that it becomes.
      compute: {input name: tensor} -> {loss [1], weight_sum [1], logits [B, C]}.
    """

    inputs: dict[str, Input]
    variables: dict[str, Variable]
    constants: dict[str, Constant]
    compute: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]

    @property
    def batch(self) -> list[str]:
        """The inputs that are no weights."""
        weights = self.variables.keys() | self.constants.keys()
        return [name for name in self.inputs if name not in weights]


def forward_pass(
    config,
    variables: tuple[Variable, ...],
    target: Target,
    *,
    tied: bool,
    batch: int,
    tokens: int,
    constants: Sequence[Constant] = (),
    view: Callable[..., WeightsView] = WeightsView,
) -> ForwardGraph:
    """Describes the forward pass over [batch * sequences_per_row, tokens].

    Args:
      config: the architecture.
      variables: the trained parameters.
      target: what is scored.
      tied: whether the LM head is the word embeddings.
      batch: B, rows of the signature.
      tokens: length of the bucket.
      constants: the frozen parameters.
      view: what the model reads its weights through.
    """
    architecture = architecture_of(config)
    positions = contract.TARGET_INPUTS[architecture.style, target.scoring]
    whole_head = target.scoring != contract.WORDS
    weights = graph_weights(config, (*variables, *constants), tied, whole_head, view)

    def compute(tensors):
        view = weights.view(tensors)
        if BARRIER in tensors:
            trained = [tensors[name] for name in weights.variables]
            view.recomputation = Recomputation(tensors[BARRIER], trained)
        return architecture.forward_loss(config, target, tensors, view)

    inputs = _signature_inputs(positions, target, batch, tokens) | weights.inputs
    return ForwardGraph(inputs, weights.variables, weights.constants, compute)


@dataclass(frozen=True)
class GraphWeights:
    """The weights of a model as inputs of a graph: while converting, no value is ever seen.

    Attributes:
      inputs, variables, constants: as in ForwardGraph.
      view: {input name: tensor} -> what the model reads its weights through.
    """

    inputs: dict[str, Input]
    variables: dict[str, Variable]
    constants: dict[str, Constant]
    view: Callable[[dict[str, tf.Tensor]], WeightsView]


def graph_weights(
    config,
    weights: Sequence[Variable | Constant],
    tied: bool,
    whole_head: bool,
    view: Callable[..., WeightsView],
) -> GraphWeights:
    """Describes a model's weights as inputs of a graph.

    Args:
      config: the architecture.
      weights: trained and frozen ones.
      tied: whether the LM head is the word embeddings.
      whole_head: whether every row of the LM head is multiplied with.
      view: what the model reads its weights through.
    """
    architecture = architecture_of(config)
    names = {weight.name for weight in weights}
    inputs = {weight.name: Input(_shape(weight), _dtype(weight, names)) for weight in weights}

    # A head that is read whole is read again at the end, chunk by chunk: read once, all chunks
    # would stay alive between. Both readings have one shape, or the delegate takes only the first.
    head = {}
    if whole_head:
        table = architecture.head.table(tied)
        head = {f"{HEAD}/{w.name}": w for w in _valued(chunks_of(weights, table))}
    for name, weight in head.items():
        inputs[name] = Input((1, *weight.shape), tf.float32)
        if isinstance(weight, Variable):
            inputs[weight.name] = inputs[name]

    # A model knows parameters, not chunks: these are grouped under the parameters' names.
    def viewed(tensors):
        tables, linears = _by_parameter(weights, tensors)
        chunks_of_head = [tensors[name] for name in head]
        return view(tensors | linears, tables, architecture.head, tied, chunks_of_head)

    sources = {weight.name: weight for weight in weights} | head
    read = {name: weight for name, weight in sources.items() if isinstance(weight, Variable)}
    fixed = {name: weight for name, weight in sources.items() if isinstance(weight, Constant)}
    return GraphWeights(inputs, read, fixed, viewed)


def recomputing(forward: ForwardGraph) -> ForwardGraph:
    """Returns a forward pass whose gradient runs it again, layer by layer, and keeps little."""
    return replace(forward, inputs=forward.inputs | {BARRIER: Input((1,), tf.float32)})


def forward_loss(
    forward: ForwardGraph, tokens: int, aliases: tuple[str, ...] = ()
) -> ConvertedFunction:
    """Converts the forward pass of the bucket of `tokens` tokens."""
    return ConvertedFunction(
        signature=contract.forward_loss_for(tokens),
        flatbuffer=convert(forward.compute, forward.inputs),
        inputs=list(forward.inputs),
        variables=forward.variables,
        constants=forward.constants,
        aliases=aliases,
    )


def _signature_inputs(target_inputs, target, batch, tokens):
    """Returns the inputs of the signature itself: a batch, and where its scored tokens stand."""
    sequences = batch * target.sequences_per_row
    return {
        contract.INPUT_IDS: Input((sequences, tokens), tf.int32),
        contract.ATTENTION_MASK: Input((sequences, tokens), tf.int32),
        **{
            name: Input(
                (sequences, tokens) if name == contract.LOSS_MASK else (sequences,), tf.int32
            )
            for name in target_inputs
        },
        **({contract.LABEL: Input((batch,), tf.int32)} if target.has_label else {}),
        contract.WEIGHT: Input((batch,), tf.float32),
    }


def _valued(weights: Iterable[Variable | Constant]):
    """Leaves out the scales of quantised tables, which go with a chunk."""
    return [w for w in weights if isinstance(w, Variable) or w.storage != SCALES]


def _by_parameter(weights, tensors):
    """Returns ({table: [(first row, chunk)]}, {matrix: [chunk]}), by the parameters' names."""
    tables: dict[str, list] = {}
    linears: dict[str, list] = {}
    for weight in _valued(weights):
        name, value = weight.parameter.name, tensors[weight.name]
        if _is_quantised_table(weight):
            value = ScaledRows(value, tensors.get(scales_of(weight.name)))
        if weight.parameter.kind == "table":
            tables.setdefault(name, []).append((weight.rows[0], value))
        elif weight.parameter.kind == "linear":
            linears.setdefault(name, []).append(value)
    return tables, linears


def _shape(weight):
    """A matrix is one of a batch, as BATCH_MATMUL has it."""
    return (1, *weight.shape) if weight.parameter.kind == "linear" else weight.shape


def _dtype(weight, names):
    """A quantised table with scales is int8; all else is float32 while converting."""
    has_scales = _is_quantised_table(weight) and scales_of(weight.name) in names
    return tf.int8 if has_scales else tf.float32


def _is_quantised_table(weight):
    return isinstance(weight, Constant) and weight.is_table and weight.is_quantised
