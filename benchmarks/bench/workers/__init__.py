"""Processes that measure one thing each and answer in JSON."""
