"""`pocketllm bench --race`: optimizers from the same start, on the same rows and budget."""
