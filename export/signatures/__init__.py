"""The graphs of a bundle's signatures."""
