"""Architecture: everything that the exporter, replay and the bench ask of a model.

Each `<model_type>.py` of export/models makes one, so a part that is missing is an error at import.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import SpecialSpellings
from ..graph.parameters import HeadNames, Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView

if TYPE_CHECKING:
    import tensorflow as tf


class ModelConfig(Protocol):
    """What the config of every architecture says."""

    @property
    def model_type(self) -> str:
        """The word of config.json."""
        ...

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether the LM head is the word embeddings, as far as the config says it."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of rows of the word embeddings."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest row that the model has positions for."""
        ...


Config = TypeVar("Config", bound=ModelConfig)


@dataclass(frozen=True)
class Architecture(Generic[Config]):
    """One model type; names are those of its Hugging Face checkpoints.

    Attributes:
      model_type: the word of config.json, and of the file.
      style: contract.MASKED or CAUSAL, how a prompt is scored.
      hf_class: transformers' class, as in config.json's `architectures`.
      special_tokens: how its tokenizer spells them.
      config: class of its configs, a dataclass that JSON can hold.
      read_config: (parsed config.json, its path) -> config; raises InputError.
      parameters: (config, whether the head is tied) -> the loss's parameters, in order.
      names: under which other names its checkpoints hold the parameters.
      head: names of the tables at the bottom and at the top.
      lora_targets: last words of the layers that LoRA adapts by default.
      key_value_layers: config -> {keys or values of a layer: their width}, in turn, layer by layer.
      prefix_moves_positions: whether a row's positions start behind a learnt prefix, as in PEFT;
        otherwise they count the row's own tokens alone, as in MeZO's code.
      forward_loss: (config, target, signature's inputs, weights) -> {loss [1], weight_sum [1],
        logits [B, C]}: the graph.
      forward_flops: (config, tokens, scored rows, words that each is scored by) -> operations of
        one example's loss.
      next_logits: (config, inputs of `prefill_T` or `decode`, weights with a cache) -> logits
        [1, V]: the graph; None for a masked model, which writes no text.
      whole: model_type of the model of text and images whose text part this is; None for none.
    """

    model_type: str
    style: str
    hf_class: str
    special_tokens: SpecialSpellings
    config: type[Config]
    read_config: Callable[[dict[str, Any], str], Config]
    parameters: Callable[[Config, bool], list[Parameter]]
    names: TensorNames
    head: HeadNames
    lora_targets: tuple[str, ...]
    key_value_layers: Callable[[Config], dict[str, int]]
    prefix_moves_positions: bool
    forward_loss: Callable[
        [Config, Target, "dict[str, tf.Tensor]", WeightsView], "dict[str, tf.Tensor]"
    ]
    forward_flops: Callable[[Config, int, int, int], int]
    next_logits: "Callable[[Config, dict[str, tf.Tensor], WeightsView], tf.Tensor] | None" = None
    whole: str | None = None

    def is_class_in(self, classes: list) -> bool:
        """Whether a class of this architecture is among config.json's `architectures`."""
        stem = self.hf_class.split("For")[0]
        endings = ("For", "Model", "LMHead")
        return any(
            str(name).startswith(tuple(stem + ending for ending in endings)) for name in classes
        )
