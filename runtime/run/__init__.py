"""A run directory: begun, continued, done again."""
