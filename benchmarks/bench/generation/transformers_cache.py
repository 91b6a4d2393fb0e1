"""Worker: transformers.generate with its cache, greedily, on the initial values of a bundle."""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.host.memory import PeakMemory

from ...isolation.worker import serve
from ..pytorch.model import load_model
from .prompt import prompt_ids


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Does what `ours` does; the prompt is timed by a text of one token."""
    memory = PeakMemory()
    torch.set_num_threads(request["threads"])
    say("loading")
    bundle = read_bundle(request["bundle"], verify=False)
    model: Any = load_model(bundle)
    ids = prompt_ids(bundle.config["vocab_size"], request["prompt_tokens"], request["seed"])
    row = torch.tensor([ids])

    def generate(count):
        started = time.perf_counter()
        with torch.inference_mode():
            both = model.generate(
                row,
                attention_mask=torch.ones_like(row),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                use_cache=True,
                eos_token_id=None,
                pad_token_id=0,
            )
        return time.perf_counter() - started, both[0, len(ids) :].tolist()

    prefill, decode, new = [], [], []
    for number in range(request["repeats"] + 1):
        say(f"text {number}")
        first, _ = generate(1)
        seconds, new = generate(request["new_tokens"])
        prefill.append(first)
        decode.append(seconds - first)
    peak = memory.stop()
    return {
        "runs": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "prefill_seconds": prefill[1:],
        "decode_seconds": decode[1:],
        "token_ids": new,
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }


if __name__ == "__main__":
    sys.exit(serve(measure))
