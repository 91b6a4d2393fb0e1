"""`pocketllm bench`: step time, memory and signal, against PyTorch."""
