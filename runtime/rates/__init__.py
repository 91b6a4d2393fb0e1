"""What a run measures before its first step: its learning rate, and the size of its probe."""
