"""What several architectures share: their form, and the decoders with rotary positions."""
