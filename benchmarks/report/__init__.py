"""`pocketllm report`: tables and figures of runs."""
