"""The chat template of a checkpoint: read, taken to pieces, compared with transformers."""
