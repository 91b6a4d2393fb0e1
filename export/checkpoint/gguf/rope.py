"""Rotary positions of a GGUF file, in the words of transformers' rope_scaling."""

import math
from pathlib import Path

import numpy as np

from pocketllm.runtime.errors import InputError

from .fields import LARGEST, Fields

KINDS = ("none", "linear", "yarn")
# YaRN's settings: the ends of llama.cpp's keys, of two spellings -> transformers' name.
YARN = {
    "yarn_attn_factor": "attention_factor",
    "attn_factor": "attention_factor",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}
# Of Llama 3: what the search for its settings begins with.
LOW, HIGH, ORIGINAL = 1.0, 4.0, 8192
# Factors are float32; rounded settings move them by less.
TOLERANCE = 1e-5


def rope_scaling(fields: Fields, factors: np.ndarray | None, theta: float) -> dict | None:
    """Returns rope_scaling of config.json, None for the default kind.

    Args:
      fields: metadata.
      factors: [K/2] float32, what each frequency is divided by (`rope_freqs.weight`); None without.
      theta: rope_theta.

    Raises:
      InputError: a kind that is not implemented, or settings that contradict each other.
    """
    usual = "none" if _factor(fields) == 1 else "linear"  # as llama.cpp
    kind = fields.text(".rope.scaling.type", usual)
    if kind not in KINDS:
        raise InputError(
            f"{fields.path}: rope of the kind {kind[:80]!r}, implemented are {', '.join(KINDS)} "
            "and Llama 3's; give a model with one of these"
        )
    if factors is not None and not (factors == 1).all():
        if kind != "none":
            raise InputError(
                f"{fields.path}: holds rope_freqs.weight and rope of the kind {kind!r}, expected "
                "one of both; convert the model again with llama.cpp"
            )
        return llama3_scaling(factors, theta, fields.path)
    if kind == "none":
        return None
    scaling = {"rope_type": kind, "factor": _factor(fields)}
    return scaling | (_yarn(fields) if kind == "yarn" else {})


def _factor(fields):
    """Returns how far positions are stretched: llama.cpp's key, or its key of 2023; 0 is none."""
    old = fields.number(".rope.scale_linear", 1.0)
    return fields.number(".rope.scaling.factor", old) or 1.0


def _yarn(fields):
    for ending, only in {"yarn_ext_factor": 1.0, "yarn_log_multiplier": 0.0}.items():
        value = fields.number(f".rope.scaling.{ending}", only)
        if value not in (only, -1.0):  # -1: not set
            raise InputError(
                f"{fields.path}: metadata {fields.place(f'.rope.scaling.{ending}')} is {value}, "
                f"only {only} is implemented; give a model without it"
            )
    settings: dict = {
        "original_max_position_embeddings": fields.size(".rope.scaling.original_context_length")
    }
    for ending, name in YARN.items():
        if fields.has(f".rope.scaling.{ending}"):
            settings.setdefault(name, fields.number(f".rope.scaling.{ending}"))
    return settings


def llama3_scaling(factors: np.ndarray, theta: float, path: Path) -> dict:
    """Returns the settings of Llama 3's kind that give these factors.

    llama.cpp keeps the factors alone. Of the settings they fix the largest factor and two
    wavelengths, original/low and original/high, so that Llama 3's own are tried first.

    Raises:
      InputError: no settings give these factors.
    """
    wavelengths = 2 * math.pi * theta ** (np.arange(len(factors)) / len(factors))
    sound = np.isfinite(factors).all() and factors.min() >= 1 and factors.max() > 1
    for settings in _candidates(np.asarray(factors, np.float64), wavelengths) if sound else ():
        given = llama3_factors(wavelengths, settings)
        if given is not None and np.allclose(given, factors, rtol=TOLERANCE, atol=0):
            return {"rope_type": "llama3", **settings}
    raise InputError(
        f"{path}: rope_freqs.weight holds factors that are not those of Llama 3's rope; give a "
        "model with another kind of rope"
    )


def llama3_factors(wavelengths: np.ndarray, settings: dict) -> np.ndarray | None:
    """Returns what frequencies are divided by, in float64; None for settings that give none.

    As transformers' _compute_llama3_parameters.
    """
    factor, low, high, original = (
        settings[name]
        for name in (
            "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
        )
    )  # fmt: skip
    if not 0 < low < high or original >= LARGEST:
        return None
    share = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    return 1 / ((1 - share) / factor + share)


def _candidates(factors, wavelengths):
    largest = float(np.round(factors.max(), 6))
    for factor in dict.fromkeys((largest, 32.0, 8.0)):
        yield _settings(factor, LOW, HIGH, ORIGINAL)
    share = (1 / factors - 1 / largest) / (1 - 1 / largest)
    mixed = np.flatnonzero((share > TOLERANCE) & (share < 1 - TOLERANCE))
    if len(mixed) > 1:  # a straight line in 1/wavelength
        slope, start = np.polyfit(1 / wavelengths[mixed], share[mixed], 1)
        if slope > 0 and start < 0:
            original, ratio = slope / -start, (1 - start) / -start
            yield _settings(largest, LOW, float(np.round(ratio, 6)), max(1, round(original)))
            scale = ORIGINAL / original
            yield _settings(largest, LOW * scale, ratio * scale, ORIGINAL)
    if len(mixed) == 1:
        index = int(mixed[0])
        original = wavelengths[index] * (LOW + share[index] * (HIGH - LOW))
        yield _settings(largest, LOW, HIGH, max(1, round(original)))  # the usual ratio of both
        short, long = _bounds(wavelengths, share, index)
        yield _settings(largest, ORIGINAL / long, ORIGINAL / short, ORIGINAL)
    if not len(mixed):  # a step between two frequencies
        short = wavelengths[share > 0.5].max(initial=wavelengths[0] / 2)
        long = wavelengths[share <= 0.5].min(initial=wavelengths[-1] * 2)
        yield _settings(largest, ORIGINAL / long, ORIGINAL / short, ORIGINAL)


def _bounds(wavelengths, share, index):
    """Returns original/high and original/low where one frequency alone lies between them.

    The line in 1/wavelength goes through its share; the bounds are as far apart as the
    neighbours, whose shares are 1 and 0, let them be.
    """
    between, part = wavelengths[index], share[index]
    after = 1 / wavelengths[index + 1] if index + 1 < len(wavelengths) else 0.0
    short = part / (1 / between - (1 - part) * after)
    if index:
        short = max(short, wavelengths[index - 1])
    slow = (1 / between - part / short) / (1 - part)
    return short, 1 / max(slow, 1e-12)


def _settings(factor, low, high, original):
    return {
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }
