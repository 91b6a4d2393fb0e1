"""Measurements in separate processes, under memory cgroups and other hard limits."""
