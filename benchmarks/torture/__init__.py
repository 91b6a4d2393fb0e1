"""Kills, long runs and fuzzing: for minutes or hours, beside the tests."""
