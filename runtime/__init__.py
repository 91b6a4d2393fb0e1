"""Device: a bundle and data become a fine-tuned model (numpy, an interpreter, absl)."""
