"""The same model, weights and inputs in PyTorch."""
