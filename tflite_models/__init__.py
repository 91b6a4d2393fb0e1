"""Model presets, the bundled small checkpoint, the bundle format."""
