"""Workers, each of which measures one thing in its own process; their modules by name."""

LITERT = f"{__name__}.litert"
PYTORCH = f"{__name__}.pytorch"
SGEMM = f"{__name__}.sgemm"
GRADIENTS = f"{__name__}.gradients"
