"""Flower between machines: keys, processes, and the grid that carries questions (flwr 1.42)."""
