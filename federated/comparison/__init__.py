"""`pocketllm federate compare`: federations beside runs on all data, and with liars."""
