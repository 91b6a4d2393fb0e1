"""Fine-tune on an arm64 Android phone, over adb: no root, no app to install."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "doctor": ("pocketllm.android_harness.commands.doctor", "check adb and the phone"),
    "image": (
        "pocketllm.android_harness.commands.image",
        "build the folder that a phone runs from",
    ),
    "push": ("pocketllm.android_harness.commands.push", "copy the image and a bundle to the phone"),
    "train": ("pocketllm.android_harness.commands.train", "fine-tune on the phone"),
    "eval": ("pocketllm.android_harness.commands.eval", "evaluate on the phone"),
    "generate": ("pocketllm.android_harness.commands.generate", "write text on the phone"),
    "attach": ("pocketllm.android_harness.commands.attach", "follow a job on the phone"),
    "bench": ("pocketllm.android_harness.commands.bench", "measure on the phone"),
    "pull": ("pocketllm.android_harness.commands.pull", "copy a run back"),
    "clean": (
        "pocketllm.android_harness.commands.clean",
        "remove data, runs, bundles from the phone",
    ),
}
