"""`pocketllm export` and `pocketllm replay`: flags and printing."""
