"""The default size of the probe: what the loss of a bundle resolves.

Integers make the loss a staircase: probes smaller than its steps measure rounding. Of two sizes a
decade, from the 1e-3 of MeZO's authors on, the smallest whose projected gradients on int8 correlate
0.95 with those of the fp32 base on the trained models that we have, roberta-micro and SmolLM2-135M
(`pocketllm bench --signal`; figures: docs/measurements.md). For fp32 as MeZO's authors chose.
"""

from pocketllm.runtime import contract

# (tune, base) -> eps, in units of z.
DEFAULT_EPS = {
    (contract.FULL, contract.FP32): 1e-3,
    (contract.LORA, contract.FP32): 1e-3,
    (contract.LORA, contract.INT8): 3e-2,
    (contract.LORA, contract.INT4): 3e-2,
    (contract.PREFIX, contract.FP32): 1e-1,
    (contract.PREFIX, contract.INT8): 1e-1,
    (contract.PREFIX, contract.INT4): 1e-1,
    (contract.HEAD_WORDS, contract.FP32): 1e-3,
    (contract.HEAD_WORDS, contract.INT8): 1e-3,
    (contract.HEAD_WORDS, contract.INT4): 1e-3,
}
