"""`pocketllm train`, `eval` and `inspect`: flags and printing."""
