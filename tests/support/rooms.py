"""Packages and their rooms in the order of imports, from the ground up."""

PACKAGES = ("runtime", "tflite_models", "export", "benchmarks", "android_harness", "federated")
ROOMS = {
    "runtime": (
        "errors", "contract", "version", "noise", "host", "tasks", "bundle", "data", "encoded_file",
        "engine", "generate", "meters", "optim", "journal", "health", "rates", "run", "commands",
        "cli",
    ),
    "tflite_models": ("presets", "micro"),
    "export": (
        "private_interface", "checkpoint", "chat", "graph", "families", "models", "weights", "tune",
        "tasks", "flatbuffer", "settings", "signatures", "plan", "manifest", "forward_passes",
        "pipeline", "hub", "sources", "api", "results", "commands",
    ),
    "benchmarks": (
        "row_lengths", "first_step", "isolation", "report", "bench", "reproduce", "torture",
        "quickstart",
    ),
    "android_harness": ("programs", "phone", "image", "commands"),
    "federated": (
        "durable_lines", "privacy", "protocol", "aggregation", "steps", "terms", "round_lines",
        "refusals", "rounds", "journal_part", "replica", "example_slopes", "answering",
        "simulation", "comparison", "audit", "flower", "measure", "commands", "apps",
    ),
}  # fmt: skip
