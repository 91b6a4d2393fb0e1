"""The default size of the probe: what the loss of a bundle resolves.

Integers make the loss a staircase: probes smaller than its steps measure rounding. Chosen as the
smallest power of ten, from the 1e-3 of MeZO's authors on, whose projected gradients correlate 0.95
with those of the fp32 base (roberta-micro, 50 directions: `pocketllm bench --signal` repeats that);
for fp32 as MeZO's authors chose. On roberta-base with random weights 1e-3 is too small as well, and
1e-1 no longer measures a slope (docs/measurements.md).
"""

from pocketllm.runtime import contract

# (tune, base) -> eps, in units of z.
DEFAULT_EPS = {
    (contract.FULL, contract.FP32): 1e-3,
    (contract.LORA, contract.FP32): 1e-3,
    (contract.LORA, contract.INT8): 1e-2,
    (contract.LORA, contract.INT4): 1e-2,
    (contract.PREFIX, contract.FP32): 1e-1,
    (contract.PREFIX, contract.INT8): 1e-1,
    (contract.PREFIX, contract.INT4): 1e-1,
    (contract.HEAD_WORDS, contract.FP32): 1e-3,
    (contract.HEAD_WORDS, contract.INT8): 1e-3,
    (contract.HEAD_WORDS, contract.INT4): 1e-3,
}
