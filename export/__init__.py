"""Desktop: a Hugging Face checkpoint becomes a bundle."""
