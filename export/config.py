"""RobertaConfig: what the graph needs of a checkpoint's config.json, and nothing unnoticed."""

import math
from dataclasses import asdict, dataclass

from pocketllm.runtime.errors import InputError

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")

# Values that would change the graph in a way it does not implement; absent means the value here.
REQUIRED_VALUES = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


@dataclass(frozen=True)
class RobertaConfig:
    """Architecture of a RoBERTa masked language model; names are Hugging Face's."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    pad_token_id: int

    @property
    def max_tokens(self) -> int:
        """Longest sequence: positions start after the padding index."""
        return self.max_position_embeddings - self.pad_token_id - 1


def roberta_config(values: dict, source: str) -> RobertaConfig:
    """Reads the values of a config.json.

    Args:
      values: the parsed file.
      source: its path, for error messages.

    Raises:
      InputError: another architecture, a missing value, or one that is not implemented.
    """
    model_type = values.get("model_type")
    if model_type != "roberta":
        raise InputError(
            f"{source}: model_type is {model_type!r}, expected 'roberta'; "
            "give the folder of a RoBERTa masked-LM checkpoint"
        )
    for name, only in REQUIRED_VALUES.items():
        if values.get(name, only) != only:
            raise InputError(f"{source}: {name} is {values[name]!r}, only {only!r} is implemented")
    fields = RobertaConfig.__dataclass_fields__
    missing = sorted(set(fields) - set(values))
    if missing:
        raise InputError(f"{source}: missing {', '.join(missing)}; is this a RoBERTa config.json?")
    config = RobertaConfig(**{name: values[name] for name in fields})
    for name, field in fields.items():
        _check_value(source, name, field.type, getattr(config, name))
    if config.hidden_act not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{source}: hidden_act is {config.hidden_act!r}, implemented are {known}")
    if config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"{source}: hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        )
    if config.max_tokens < 1:
        raise InputError(
            f"{source}: max_position_embeddings {config.max_position_embeddings} leaves no room "
            f"after pad_token_id {config.pad_token_id}"
        )
    return config


def _check_value(source, name, kind, value):
    good = isinstance(value, (int, float) if kind is float else kind)
    if not good or isinstance(value, bool):
        raise InputError(f"{source}: {name} is {value!r}, expected {kind.__name__}")
    lowest = 0 if name == "pad_token_id" else 1e-30
    if kind is not str and not lowest <= value < math.inf:
        raise InputError(f"{source}: {name} is {value!r}, expected a positive number")


def config_json(config: RobertaConfig) -> dict:
    """Returns the architecture as it stands in bundle.json."""
    return {"model_type": "roberta", **asdict(config)}
