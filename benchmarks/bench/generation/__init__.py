"""How fast text is written: ours, and transformers with its cache."""
