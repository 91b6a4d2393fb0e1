"""Models of the Hugging Face Hub: the exporter's one use of the network."""
