"""A checkpoint becomes a bundle: `pocketllm export` as a function.

    python examples/export.py OUT

OUT is the folder to write. examples/mezo_loop.py trains what it holds.
"""

import sys

from pocketllm.export import Lora, Tuning, export

exported = export(
    "roberta-micro",  # what `pocketllm export --model` takes
    "sst2",
    sys.argv[1],
    lengths=[32, 64],  # tokens; a row runs in the shortest that it fits
    tuning=Tuning("lora", base="int8", lora=Lora(rank=4)),
    say=print,
)
print(f"{exported.bundle}: {exported.trained_parameters:,} parameters are trained")
