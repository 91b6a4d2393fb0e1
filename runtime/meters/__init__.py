"""What forward passes tell of gradient, noise and curvature, before a run chooses its settings."""
