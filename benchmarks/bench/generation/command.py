"""Measures how fast text is written; flags shared with the other benches are in command.py."""

import tempfile
from pathlib import Path
from statistics import median

from absl import flags

from pocketllm.export.models import architecture_in
from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.prefill import alike
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.progress import Progress
from pocketllm.tflite_models.presets import PRESETS

from ...isolation.worker import run_worker
from ..exporting import export_measured, random_preset

MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow")
FULL = (contract.FULL, contract.FP32)
# (tune, base) of the bundles that are measured where none is asked for.
USUAL = ((contract.LORA, contract.INT8), (contract.LORA, contract.FP32), FULL)
OURS, THEIRS, COPYING = (
    f"{__package__}.{name}" for name in ("ours", "transformers_cache", "copying")
)

# Flags that share the model's positions, and the least that each can have.
LEAST = {"prompt_tokens": 8, "new_tokens": 2}

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.integer(
    "prompt_tokens",
    128,
    "tokens of the prompt; not given: fewer where the model's positions are fewer",
    LEAST["prompt_tokens"],
)
define.integer(
    "new_tokens", 128, "tokens that are written behind it; not given: likewise", LEAST["new_tokens"]
)


def run_generation(values) -> dict:
    """Exports, measures every side in a process of its own, prints a table; returns the result."""
    required(values, "model")
    if values.model not in PRESETS:
        raise InputError(f"--model={values.model}: expected a preset ({', '.join(PRESETS)})")
    values.prompt_tokens, values.new_tokens = fitting(values, _positions(values.model))
    threads = values.threads or cores()
    is_chosen = values["tune"].present or values["base"].present
    kinds = ((values.tune, values.base),) if is_chosen else USUAL
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        needed = (*kinds, *((FULL,) if values.against and FULL not in kinds else ()))
        bundles = {kind: _export(values, kind, Path(folder)) for kind in needed}
        copying = run_worker("copy", COPYING, {"threads": threads}, threads, stages=1)
        sides = {}
        for kind in kinds:
            sides[" ".join(kind)] = _measured(values, OURS, bundles[kind], threads)
        theirs = _measured(values, THEIRS, bundles[FULL], threads) if values.against else None
    result = {
        "model": values.model,
        "prompt_tokens": values.prompt_tokens,
        "new_tokens": values.new_tokens,
        "repeats": values.steps,
        "seed": values.seed,
        "threads": threads,
        "machine": describe_machine(MEASURED),
        **copying,
        "ours": {name: summary(side, values) for name, side in sides.items()},
        "pytorch": theirs and summary(theirs, values),
    }
    print(table(result), flush=True)
    return result


def fitting(values, positions: int) -> tuple[int, int]:
    """Returns the tokens of the prompt and of the text; those that no flag gave are fewer to fit.

    Raises:
      InputError: the flags ask for more than the positions that the model has.
    """
    given = {name: values[name].value for name in LEAST if values[name].present}
    room = (positions - sum(given.values())) // max(1, len(LEAST) - len(given))
    tokens = {name: min(values[name].value, room) for name in LEAST} | given
    if sum(tokens.values()) > positions or any(tokens[name] < LEAST[name] for name in LEAST):
        named = " ".join(f"--{name}={count}" for name, count in given.items())
        raise InputError(
            f"{named}: expected at most {positions} tokens of prompt and text together, the "
            f"positions that {values.model} has; give fewer"
        )
    return tokens["prompt_tokens"], tokens["new_tokens"]


def summary(side: dict, values) -> dict:
    """Returns a side's result with its rates: medians over the repeats."""
    decode = median(side["decode_seconds"])
    rate = (values.new_tokens - 1) / decode
    bytes_a_token = side.get("bytes_per_token")
    return side | {
        "prefill_tokens_per_second": values.prompt_tokens / median(side["prefill_seconds"]),
        "decode_tokens_per_second": rate,
        "weight_bytes_per_second": bytes_a_token and rate * bytes_a_token,
    }


def table(result: dict) -> str:
    """Returns the table: a line a side."""
    theirs, copied = result["pytorch"], result["copy_bytes_per_second"]
    lines = [
        f"{result['model']}, {result['new_tokens']} new tokens behind {result['prompt_tokens']}, "
        f"threads {result['threads']}, on {result['machine']['cpu']}; "
        f"copying memory {copied / 1e9:.1f} GB/s (read and written)",
        f"{'':<14}{'decode/s':>10}{'ratio':>8}{'prefill/s':>11}{'weights GB/s':>14}"
        f"{'anonymous GB':>14}{'same ids':>10}",
    ]
    sides = result["ours"] | ({"pytorch": theirs} if theirs else {})
    for name, side in sides.items():
        rate, read = side["decode_tokens_per_second"], side["weight_bytes_per_second"]
        ratio = f"{rate / theirs['decode_tokens_per_second']:.2f}" if theirs else "-"
        same = "-"
        if theirs and side is not theirs:
            same = str(alike(side["token_ids"], theirs["token_ids"]))
        lines.append(
            f"{name:<14}{rate:>10.1f}{ratio:>8}{side['prefill_tokens_per_second']:>11.1f}"
            f"{f'{read / 1e9:.2f}' if read else '-':>14}"
            f"{side['peak_anon_bytes'] / 1e9:>14.3f}{same:>10}"
        )
    return "\n".join(lines)


def _positions(preset):
    """Returns the tokens that a preset has positions for; InputError for one that writes none."""
    path = PRESETS[preset].config_path
    values = read_json(path, "reinstall pocketllm")
    architecture = architecture_in(values, str(path))
    if architecture.next_logits is None:
        raise InputError(
            f"--model={preset}: {architecture.model_type} models fill in masked words and write no "
            "text; give a preset of a causal model"
        )
    return architecture.read_config(values, str(path)).max_tokens


def _measured(values, module, bundle, threads):
    request = {
        "bundle": str(bundle),
        "threads": threads,
        "prompt_tokens": values.prompt_tokens,
        "new_tokens": values.new_tokens,
        "repeats": values.steps,
        "seed": values.seed,
    }
    name = bundle.name if module == OURS else "PyTorch"
    return run_worker(name, module, request, threads, stages=values.steps + 2)


def _export(values, kind, folder):
    """Exports one bundle that generates; returns its folder."""
    tune, base = kind
    out = folder / f"{tune}-{base}"
    settings = [
        *random_preset(values.model, values.seed, [values.prompt_tokens]),
        f"--tune={tune}",
        f"--base={base}",
        f"--context={values.prompt_tokens + values.new_tokens}",
    ]
    with Progress("export", None, "stage") as bar:
        bar.say(f"exporting {values.model}, {tune} on {base}")
        export_measured(settings, out, say=lambda line: bar.advance(1, line), task="sft")
    return out
