"""What is read of a Hugging Face checkpoint: config.json, tensors, tokenizer."""
