"""Plan: all that an export decides before anything is converted."""

from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from .flatbuffer.constants import Constant, constants_of
from .flatbuffer.variables import Variable, slices_of, variables_of
from .graph.scoring import Target, target_of
from .models import architecture_of
from .settings import Settings, check_lengths, check_tokenizer
from .tune.apply import tuned, with_targets
from .weights.weights import Weights


@dataclass(frozen=True)
class Plan:
    """What a bundle will hold.

    Attributes:
      settings: of the export, LoRA's targets filled in.
      tokenizer: of the checkpoint.
      target: what the forward signatures score.
      weights: values of what is trained and of what is frozen.
      variables: layout of what is trained.
      constants: layout of what is frozen.
    """

    settings: Settings
    tokenizer: Tokenizer
    target: Target
    weights: Weights
    variables: tuple[Variable, ...]
    constants: tuple[Constant, ...]

    @property
    def is_frozen(self) -> bool:
        """Whether there is a frozen base, so that what is trained is small."""
        return self.settings.tuning.kind != contract.FULL

    @property
    def slices(self) -> list[tuple[Variable, ...]]:
        """The variables of each `initialize_*`, `read_*` and `write_*` signature."""
        return slices_of(self.variables, self.settings.sizes.slice_bytes)


def plan_of(settings: Settings, weights: Weights, tokenizer: Tokenizer) -> Plan:
    """Lays out what an export writes; reads no values.

    Raises:
      InputError: settings that the model, its tokenizer or the task do not allow.
    """
    check_lengths(settings)
    check_tokenizer(settings, tokenizer)
    target = target_of(settings.task, settings.option_tokens, tokenizer)
    settings = replace(settings, tuning=with_targets(settings.tuning, settings.config))
    weights = tuned(weights, settings.config, target, settings.tuning)
    _check_pairs(settings, weights)
    sizes = settings.sizes
    variables = variables_of(weights.parameters, sizes.chunk_values, sizes.linear_values)
    constants = tuple(_constants(settings, weights, target))
    return Plan(settings, tokenizer, target, weights, variables, constants)


def _check_pairs(settings, weights):
    """Raises InputError where both probes would need two values of a whole table."""
    tables = [p.name for p in weights.parameters if p.kind == "table"]
    if settings.pairs and tables:
        raise InputError(
            f"--pairs: --lora_extras=lm_head trains the table {tables[0]} too, of which both "
            "probes in one forward pass would need two; leave one of them out"
        )


def _constants(settings, weights, target):
    """Lays the frozen parameters out; a head that is scored whole is read chunk by chunk."""
    head = architecture_of(settings.config).head
    words = frozenset((head.word_embeddings, head.decoder))
    whole_head = target.scoring != contract.WORDS or settings.context > 0
    chunked = frozenset({head.table(weights.tied)} if whole_head else ())
    base, values = settings.tuning.base, settings.sizes.linear_values
    return constants_of(weights.frozen, base, words, chunked, values)
