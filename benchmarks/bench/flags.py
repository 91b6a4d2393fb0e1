"""Reads and checks the bench's flags, before minutes of work."""

import re
from collections.abc import Iterable, Sequence
from importlib import util

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.engine.interpreter import MODULES
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim import adam, interface
from pocketllm.tflite_models.presets import PRESETS

from .baselines import baselines_of
from .exporting import BATCH_SIZE
from .workload import FZOO, LR, check_scoring

# Flags of an export of --model -> the property that a --bundle already has.
EXPORTED = {"noise": "its noise", "tune": "its tuning", "base": "its base", "task": "its task"}
SUFFIXES = {"K": 10**3, "M": 10**6, "G": 10**9}


def batch_sizes_of(texts: Sequence[str]) -> list[int]:
    """Returns the value of --batch_sizes; raises InputError for any but positive numbers."""
    try:
        sizes = [int(text) for text in texts]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise InputError(f"--batch_sizes={','.join(texts)}: expected whole numbers of 1 or more")
    return sizes


def limit_bytes_of(text: str | None) -> int | None:
    """Returns the bytes of --memory_limit; K, M and G are decimal; raises InputError for others."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)([KMG]?)B?", text, re.ASCII | re.IGNORECASE)
    if not match:
        raise InputError(f"--memory_limit={text}: expected bytes, or like 320M (320,000,000 bytes)")
    return int(match[1]) * SUFFIXES.get(match[2].upper(), 1)


def refuse_given(values: flags.FlagValues, names: Iterable[str], why: str) -> None:
    """Raises InputError for the first of these flags that was given."""
    for name in names:
        if values[name].present:
            raise InputError(f"--{name} {why}")


def check_flags(values) -> None:
    """Raises InputError for flags that name nothing to measure, or that exclude each other."""
    if values.optimizer == FZOO:
        refuse_given(values, ["against"], "is not for --optimizer=fzoo; leave it out")
    if values.pairs and values.optimizer != contract.MEZO:
        raise InputError(
            f"--pairs measures MeZO's steps, not those of --optimizer={values.optimizer}; leave "
            "one of them out"
        )
    if values.pairs and values.tune == contract.FULL and not values.bundle:
        raise InputError("--pairs goes with --tune=lora, prefix or head")
    if values.model is None and values.bundle is None:
        raise InputError("--model is missing (or --bundle); see `pocketllm bench --help`")
    if values.model is not None and values.model not in PRESETS:
        raise InputError(f"--model={values.model}: expected a preset ({', '.join(PRESETS)})")
    for name, its_own in EXPORTED.items() if values.bundle else ():
        refuse_given(
            values, [name], f"goes with an export of --model, a --bundle has {its_own} already"
        )
    if values.tune == contract.FULL and values.base != contract.FP32 and not values.bundle:
        raise InputError(f"--base={values.base} goes with --tune=lora, prefix or head")
    largest, whole = max(batch_sizes_of(values.batch_sizes)), values.tune == contract.FULL
    if values.optimizer == contract.ADAM and whole and not values.bundle and largest > BATCH_SIZE:
        raise InputError(
            f"--batch_sizes: a step of --optimizer=adam with --tune=full is one graph of at most "
            f"{BATCH_SIZE} rows, found {largest}; take fewer, or --tune=lora, prefix or head"
        )
    if not _is_installed(MODULES[values.engine]):
        distribution = contract.ENGINES[values.engine]
        raise InputError(f"--engine={values.engine}: not installed; install {distribution}")
    check_installed(values, values.tune)


def check_bundle(values, bundle: Bundle) -> None:
    """Raises InputError for flags that do not fit the bundle."""
    if values.model and values.model != bundle.model_name:
        raise InputError(
            f"--bundle={values.bundle}: a bundle of {bundle.model_name}, --model is {values.model}"
        )
    check_scoring(bundle)
    if values.seq_len > max(bundle.lengths):
        raise InputError(
            f"--seq_len={values.seq_len}: the bundle's longest bucket has {max(bundle.lengths)} "
            "tokens; export it with longer --lengths"
        )
    if values.pairs and not bundle.has_pairs:
        raise InputError(
            f"--bundle={values.bundle}: no signature {contract.FORWARD_PAIR}; export it with "
            "--pairs, or leave --pairs out"
        )
    if values.optimizer == contract.ADAM:
        settings = adam.AdamSettings(LR, weight_decay=0.0, lr_schedule="constant", steps=1)
        largest = max(batch_sizes_of(values.batch_sizes))
        interface.check_bundle(adam.OPTIMIZER, bundle, largest, settings)
    if values.against:
        baselines_of(bundle, values.optimizer)
        check_installed(values, bundle.tune)


def check_installed(values, tune: str) -> None:
    """Raises InputError if a package is missing that PyTorch's side of such a bundle needs."""
    packages = ["torch", "transformers"] if values.against else []
    if packages and values.optimizer == contract.ADAM and tune == contract.LORA:
        packages.append("peft")
    for package in packages:
        if not _is_installed(package):
            raise InputError(f"--against={values.against}: {package} is missing; install it")


def check_weights(full: Bundle, bundle: Bundle) -> None:
    """Raises InputError unless `full` trains all parameters of the checkpoint of `bundle`."""
    if full.tune != contract.FULL or full.config != bundle.config:
        raise InputError(
            f"{full.folder}: --tune={full.tune} of {full.model_name}; PyTorch takes its weights "
            f"from a bundle of the same checkpoint as {bundle.folder}, exported with --tune=full"
        )


def _is_installed(module):
    """Returns whether a module's top package is installed, without importing it."""
    return util.find_spec(module.split(".")[0]) is not None
