"""A federation in one process, on parts of one data file."""
