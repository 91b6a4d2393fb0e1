"""The files that a run appends to: the journal and the lines beside it, read and written."""
