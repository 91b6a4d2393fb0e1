"""GGUF files, the models of llama.cpp: a checkpoint's config, tokenizer and tensors out of one."""
