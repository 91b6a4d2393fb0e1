"""Where a model comes from: a preset, a folder. One file a kind, each returns a `Source`."""
