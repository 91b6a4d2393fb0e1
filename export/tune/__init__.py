"""What is trained: all parameters, LoRA, a prefix, the label words' head."""
