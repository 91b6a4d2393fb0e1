"""Kills, long runs and fuzzing: for minutes or hours, beside the tests."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "kills": (
        "pocketllm.benchmarks.torture.kills",
        "kill a run in every phase, and compare",
    ),
    "power": ("pocketllm.benchmarks.torture.power", "fail the power of a run, and compare"),
    "soak": ("pocketllm.benchmarks.torture.soak", "train long: memory, losses, replay"),
    "fuzz": ("pocketllm.benchmarks.torture.fuzz", "feed the readers of files with altered ones"),
}
