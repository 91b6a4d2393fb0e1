"""Data files: what is text, what are rows, what the labels say."""
