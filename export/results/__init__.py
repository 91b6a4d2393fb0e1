"""What a run reached, written for other programs."""
