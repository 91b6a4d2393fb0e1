"""A model file open in an interpreter."""
