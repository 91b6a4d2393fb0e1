"""The model families: each is a module of pure functions, under its Hugging Face model_type.

A family gives `parameters`, `forward_loss`, `checkpoint_names`, `key_value_layers`, and the names
WORD_EMBEDDINGS, LM_HEAD (the table that a tied checkpoint leaves out), LM_HEAD_BIAS (or None),
TARGET_INPUTS, LORA_TARGETS and IGNORED.
"""

from dataclasses import asdict

from tokenizers import Tokenizer

from pocketllm.runtime import contract

from ..checkpoint.config import check_model_type
from ..checkpoint.tokenizer import special_token_ids
from . import opt, roberta
from .opt_config import OptConfig, opt_config
from .roberta_config import RobertaConfig, roberta_config

FAMILIES = {"roberta": roberta, "opt": opt}
STYLES = {"roberta": contract.MASKED, "opt": contract.CAUSAL}
# Role in bundle.json -> the token that plays it.
SPECIAL_TOKENS = {
    "roberta": {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "mask": "<mask>"},
    "opt": {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "mask": None},
}
# The roles whose tokens a tokenizer must have, and whose tokenizer that is.
_NEEDED_ROLES = {
    "roberta": (("bos", "eos", "pad", "mask"), "a RoBERTa"),
    "opt": (("bos", "pad"), "an OPT"),
}
OPT_ROW_TOKENS = 2048
_READERS = {"roberta": roberta_config, "opt": opt_config}
_NAMES = {RobertaConfig: "roberta", OptConfig: "opt"}


def model_config(values: dict, source: str) -> RobertaConfig | OptConfig:
    """Reads a parsed config.json of any family; `source` is its path.

    Raises:
      InputError: another architecture, a missing value, or one that is not implemented.
    """
    return _READERS[check_model_type(values, source)](values, source)


def family_name(config: RobertaConfig | OptConfig) -> str:
    """Returns the config's Hugging Face model_type."""
    return _NAMES[type(config)]


def config_json(config: RobertaConfig | OptConfig) -> dict:
    """Returns the architecture as it stands in bundle.json."""
    return {"model_type": family_name(config), **asdict(config)}


def special_tokens(model_type: str, tokenizer: Tokenizer) -> dict[str, int | None]:
    """Returns {role: id} of a model's special tokens, None for one that it lacks.

    Raises:
      InputError: the tokenizer is not one of such a model.
    """
    needed, model = _NEEDED_ROLES[model_type]
    return special_token_ids(tokenizer, SPECIAL_TOKENS[model_type], needed, model)


def longest_row(config: RobertaConfig | OptConfig) -> int:
    """Returns the tokens that rows are cut to, the answer included, where no bucket is shorter.

    For any OPT these are the 2,048 that MeZO's authors cut at: a row that leaves out its last word
    may still fill all positions of a smaller one.
    """
    return OPT_ROW_TOKENS if isinstance(config, OptConfig) else config.max_tokens


def head_table(config: RobertaConfig | OptConfig, tied: bool) -> str:
    """Names the parameter that the LM head's logits are products with."""
    family = FAMILIES[family_name(config)]
    return family.WORD_EMBEDDINGS if tied else family.LM_HEAD
