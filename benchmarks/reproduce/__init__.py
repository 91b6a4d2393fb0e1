"""`pocketllm reproduce`: the paper's comparison, cell by cell."""
