"""Worker: a bundle writes text, by the code of `pocketllm generate`.

Imports nothing outside the runtime: torch or TensorFlow would count as memory of this side.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.generate.statistics import weight_bytes
from pocketllm.runtime.generate.writer import Writer
from pocketllm.runtime.host.memory import PeakMemory

from ...isolation.worker import serve
from .prompt import prompt_ids


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Writes several times the same text.

    Args:
      request: {"bundle", "threads", "prompt_tokens", "new_tokens", "repeats", "seed"}.
      say: takes the name of each stage.

    Returns:
      {"runs", "prefill_seconds", "decode_seconds" and "token_ids" of each repeat,
      "bytes_per_token", peaks}. Decoding counts all that follows the first new token.
    """
    memory = PeakMemory()
    bundle = read_bundle(request["bundle"], verify=False)
    # Nothing ends the text: every repeat has as many tokens.
    endless = replace(bundle, stop_ids=(), special_tokens=replace(bundle.special_tokens, eos=None))
    model = open_model(endless, threads=request["threads"], calls=contract.TEXTS)
    say("initialising")
    model.initialize()
    vocabulary = bundle.config["vocab_size"]
    writer = Writer(model, load_tokenizer(bundle.tokenizer_path), np.ones(vocabulary, bool))
    ids = prompt_ids(vocabulary, request["prompt_tokens"], request["seed"])
    repeats = []
    for number in range(request["repeats"] + 1):
        say(f"text {number}")
        writer.forget()
        repeats.append(writer.write(ids, most=request["new_tokens"]))
    del repeats[0]  # warms up
    peak = memory.stop()
    return {
        "runs": model.engine.describe(),
        "prefill_seconds": [written.read_seconds for written in repeats],
        "decode_seconds": [written.seconds - written.read_seconds for written in repeats],
        "token_ids": list(repeats[-1].token_ids),
        "bytes_per_token": weight_bytes(bundle),
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }


if __name__ == "__main__":
    sys.exit(serve(measure))
