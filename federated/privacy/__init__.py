"""Differential privacy of a federation: what is promised, the noise, and what has been spent."""
