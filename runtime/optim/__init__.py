"""One file an optimizer: the arithmetic of its step."""
