"""Checks of a bundle's values, before anything is done with them."""

import math
from dataclasses import asdict, dataclass

from .. import contract
from ..host.typed_json import typed
from ..tasks.text import CHAT, TextTask
from .contents import Bundle

# TFLite counts a dimension in 31 bits; a tensor's bytes must fit a file's offset.
MOST_DIMENSIONS, LARGEST_DIMENSION, MOST_VALUES = 8, 2**31 - 1, 2**60
DTYPES = ("float32", "int32")


@dataclass(frozen=True)
class Dimensions:
    """What `config` must say, whatever the architecture."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int


@dataclass(frozen=True)
class Signature:
    """What an entry of `signatures` must say: the tensors by name, as dtype and shape."""

    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Adapters:
    """What `lora` must say."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    extras: str


def check_bundle(bundle: Bundle) -> None:
    """Checks that the values of `bundle.json` agree with each other.

    Raises:
      ValueError, KeyError: they do not.
    """
    _check_numbers(bundle)
    if bundle.tune not in contract.TUNES or bundle.base not in contract.BASES:
        raise ValueError(f"unknown tune {bundle.tune!r} or base {bundle.base!r}")
    if bundle.noise["kind"] not in contract.NOISE_KINDS:
        raise ValueError(f"unknown noise kind {bundle.noise['kind']!r}")
    if not bundle.lengths or list(bundle.lengths) != sorted(set(bundle.lengths)):
        raise ValueError(f"lengths {list(bundle.lengths)} are not ascending")
    if bundle.batch_size < 1 or bundle.slices < 1:
        raise ValueError("batch_size and slices must be positive")
    if bundle.max_tokens < bundle.lengths[-1]:
        raise ValueError(f"max_tokens {bundle.max_tokens} is below the longest of the lengths")
    if not 0 < bundle.default_eps < math.inf:
        raise ValueError(f"default_eps {bundle.default_eps} is not positive")
    _check_special_tokens(bundle)
    _check_scoring(bundle)
    _check_text(bundle)
    if contract.MEZO not in bundle.optimizers:
        raise ValueError(f"optimizers {list(bundle.optimizers)} without mezo")
    for needed in (contract.MODEL_FILE, contract.TOKENIZER_FILE):
        bundle.files[needed]
    _check_places(bundle)
    _check_signatures(bundle)
    for tokens in bundle.lengths:
        bundle.signatures[contract.forward_loss_for(tokens)]
        if contract.ADAM in bundle.optimizers:
            bundle.signatures[contract.adam_step_for(tokens)]
    _check_pairs(bundle)
    _check_pure(bundle)
    for signature in (contract.PERTURB_AND_UPDATE, contract.PERTURB_AND_DECAY):
        bundle.signatures[signature]
    _check_generation(bundle)


def _check_pairs(bundle):
    """Raises ValueError, KeyError where some bucket has no signature of both probes, or another."""
    probe = {contract.SEED: ("int32", (1,)), contract.EPS: ("float32", (1,))}
    outputs = {contract.LOSS: ("float32", (2,)), contract.WEIGHT_SUM: ("float32", (1,))}
    for tokens in bundle.lengths if bundle.has_pairs else ():
        name, forward = contract.forward_pair_for(tokens), contract.forward_loss_for(tokens)
        batch = typed(Signature, bundle.signatures[forward], forward, further=True).inputs
        pair = typed(Signature, bundle.signatures[name], name, further=True)
        if pair != Signature(batch | probe, outputs):
            raise ValueError(f"signature {name!r} does not take a batch and a probe to two losses")


def _check_pure(bundle):
    """Raises ValueError, KeyError where some bucket has no pure form, or another one."""
    forms = {contract.FORWARD_LOSS: contract.FORWARD_PURE}
    if contract.FORWARD_PURE_PAIR in bundle.signatures:
        forms[contract.FORWARD_PAIR] = contract.FORWARD_PURE_PAIR
    probe = {contract.SEED, contract.EPS}
    for tokens in bundle.lengths if bundle.has_pure else ():
        for stem, pure_stem in forms.items():
            name = contract.numbered(stem, tokens)
            form = typed(Signature, bundle.signatures[name], name, further=True)
            probes = () if stem == contract.FORWARD_LOSS else (2,)
            inputs = {k: of for k, of in form.inputs.items() if not probes or k not in probe}
            inputs |= {v.name: ("float32", (*probes, *v.shape)) for v in bundle.variables}
            name = contract.numbered(pure_stem, tokens)
            pure = typed(Signature, bundle.signatures[name], name, further=True)
            if pure != Signature(inputs, form.outputs):
                raise ValueError(
                    f"signature {name!r} does not take a batch and all that is trained"
                )


def _check_generation(bundle):
    """Raises ValueError, KeyError where what generates is not of one cache of `context` tokens."""
    if not 0 <= bundle.context <= bundle.max_tokens:
        raise ValueError(f"context {bundle.context} is not in 0 to {bundle.max_tokens}")
    if bundle.context == 0:
        return
    bundle.signatures[contract.CACHE_INITIALIZE]
    if not bundle.prefills:
        raise ValueError(f"context {bundle.context} without a {contract.PREFILL} signature")
    logits = {contract.LOGITS: ("float32", (1, bundle.config["vocab_size"]))}
    for tokens in (*bundle.prefills, 1):
        name = contract.prefill_for(tokens)
        inputs = {contract.INPUT_IDS: ("int32", (1, tokens)), contract.POSITION: ("int32", (1,))}
        if tokens > 1:
            inputs[contract.TOKENS] = ("int32", (1,))
        expected = Signature(inputs, logits)
        if typed(Signature, bundle.signatures[name], name, further=True) != expected:
            raise ValueError(f"signature {name!r} does not read {tokens} tokens to logits of words")
        if tokens > bundle.context:
            raise ValueError(f"{name} reads more tokens than the context {bundle.context} has")


def _check_numbers(bundle):
    """Raises ValueError where `config`, `lora`, a size or a shape holds no possible numbers."""
    dimensions = asdict(typed(Dimensions, bundle.config, "config", further=True))
    for name, value in dimensions.items():
        if not 0 < value <= LARGEST_DIMENSION:
            raise ValueError(f"config.{name} {value} is not a positive size")
    if bundle.tune == contract.LORA:
        typed(Adapters, bundle.lora, "lora", further=True)
    largest = dimensions["vocab_size"] - 1
    if any(not 0 <= token <= largest for token in bundle.word_ids):
        raise ValueError(f"word_ids {list(bundle.word_ids)} are not in 0 to {largest}")
    for name, entry in bundle.files.items():
        if not 0 <= entry["bytes"] <= MOST_VALUES:
            raise ValueError(f"{name} has an impossible size")
    for name, shape in bundle.frozen.items():
        _check_shape(shape, name)
    for parameter in bundle.parameters:
        _check_shape(parameter.shape, parameter.name)
        for variable in parameter.variables:
            _check_shape(variable.shape, variable.name)
        count = sum(math.prod(variable.shape) for variable in parameter.variables)
        if count != math.prod(parameter.shape):
            raise ValueError(
                f"{parameter.name} {list(parameter.shape)} has variables of {count} values"
            )


def _check_shape(shape, place):
    if len(shape) > MOST_DIMENSIONS or not all(0 <= n <= LARGEST_DIMENSION for n in shape):
        raise ValueError(f"{place} has the impossible shape {list(shape)}")
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"{place} {list(shape)} is larger than any file")


def _check_signatures(bundle):
    """Raises ValueError, KeyError where a signature is missing or lists no typed tensors."""
    signatures = typed(dict[str, Signature], bundle.signatures, "signatures", further=True)
    for name, signature in signatures.items():
        for tensor, (dtype, shape) in [*signature.inputs.items(), *signature.outputs.items()]:
            place = f"{tensor} of signatures.{name}"
            if dtype not in DTYPES:
                raise ValueError(f"{place} is of {dtype!r}, expected {' or '.join(DTYPES)}")
            _check_shape(shape, place)
    for index in range(bundle.slices):  # ends at the first that is missing
        for stem in (contract.INITIALIZE, contract.READ, contract.WRITE):
            if contract.numbered(stem, index) not in signatures:
                raise ValueError(f"no signature {contract.numbered(stem, index)!r}")
    _check_slices(bundle, signatures)
    for index, name in enumerate(bundle.moment_readers):
        writer = contract.numbered(contract.ADAM_WRITE, index)
        if signatures[writer].inputs != signatures[name].outputs:
            raise ValueError(f"signature {writer!r} does not take what {name!r} gives")


def _check_slices(bundle, signatures):
    """Raises ValueError where a slice reads or writes what is no variable, or of another size."""
    variables = {v.name: ("float32", tuple(v.shape)) for v in bundle.variables}
    for index in range(bundle.slices):
        reader, writer = (contract.numbered(s, index) for s in (contract.READ, contract.WRITE))
        sides = {reader: signatures[reader].outputs, writer: signatures[writer].inputs}
        for signature, tensors in sides.items():
            for name, (dtype, shape) in tensors.items():
                if variables.get(name) != (dtype, shape):
                    raise ValueError(
                        f"{name} of {dtype} {list(shape)} of signature {signature!r} is no "
                        "variable of this shape"
                    )


def _check_places(bundle):
    """Raises ValueError where values would be read from outside the model file."""
    places = {v.name: (v.offset, v.shape) for v in bundle.variables}
    if "offset" in bundle.noise:
        table = bundle.noise
        places["the noise table"] = (table["offset"], (table["rows"], table["columns"]))
    size = bundle.files[contract.MODEL_FILE]["bytes"]
    for name, (offset, shape) in places.items():
        sound = all(isinstance(n, int) and n > 0 for n in shape) and isinstance(offset, int)
        if not sound or not 0 <= offset <= size - 4 * math.prod(shape):
            raise ValueError(f"{name} {list(shape)} at {offset} is not inside the model file")
    rows = bundle.noise.get("rows", 1)
    if rows & (rows - 1):
        raise ValueError(f"the noise table has {rows} rows, which is no power of two")


def _check_special_tokens(bundle):
    special = asdict(bundle.special_tokens)
    missing = [role for role in contract.NEEDED_TOKENS[bundle.style] if special[role] is None]
    if missing:
        raise ValueError(f"special_tokens without {', '.join(missing)}")
    largest = bundle.config["vocab_size"] - 1
    wrong = [role for role, n in special.items() if n is not None and not 0 <= n <= largest]
    if wrong:
        raise ValueError(f"special_tokens with ids of {', '.join(wrong)} not in 0 to {largest}")


def _check_text(bundle):
    """Raises ValueError where chats cannot be rendered, or a text would end with no token."""
    largest, stops = bundle.config["vocab_size"] - 1, list(bundle.stop_ids)
    if stops != sorted(set(stops)) or any(not 0 <= token <= largest for token in stops):
        raise ValueError(f"stop_ids {stops} are not ascending in 0 to {largest}")
    if isinstance(bundle.task, TextTask) and bundle.task.form == CHAT and bundle.chat is None:
        raise ValueError("a task of chats, and chat is null")


def _check_scoring(bundle):
    scoring = bundle.scoring
    if scoring not in contract.SCORINGS:
        raise ValueError(f"unknown scoring {scoring!r}")
    if bundle.style == contract.MASKED and scoring != contract.WORDS:
        raise ValueError(f"scoring {scoring!r} of a task with one row for all words")
    if (scoring == contract.TOKEN_LOSS) != isinstance(bundle.task, TextTask):
        raise ValueError(f"scoring {scoring!r} of a task of the form {bundle.task}")
    if scoring == contract.TOKEN_LOSS:
        return
    if (scoring == contract.GOLD) == bool(bundle.task.words):
        raise ValueError(f"scoring {scoring!r} of a task with words {list(bundle.task.words)}")
    if len(bundle.word_ids) != (len(bundle.task.words) if scoring == contract.WORDS else 0):
        raise ValueError(f"{len(bundle.word_ids)} word_ids for {len(bundle.task.words)} words")
    if scoring != contract.WORDS and bundle.option_tokens < 1:
        raise ValueError(f"option_tokens {bundle.option_tokens} is not positive")
