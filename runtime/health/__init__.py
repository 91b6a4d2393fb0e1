"""What says that a run cannot work: pure functions over its data and what its steps measured."""
