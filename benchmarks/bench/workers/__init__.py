"""Processes that measure one thing each and answer in JSON, by the names that start them."""

LITERT = f"{__name__}.litert"
PYTORCH = f"{__name__}.pytorch"
SGEMM = f"{__name__}.sgemm"
GRADIENTS = f"{__name__}.gradients"
