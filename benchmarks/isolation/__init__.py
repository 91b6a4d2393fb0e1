"""Processes of their own, memory cgroups and other hard limits."""
