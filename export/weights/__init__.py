"""The values of a model's parameters: from a checkpoint, or drawn."""
