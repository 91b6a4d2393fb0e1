"""Fine-tune on an arm64 Android phone, over adb: no root, no app to install."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "doctor": ("pocketllm.android_harness.doctor_command", "check adb and the phone"),
    "image": ("pocketllm.android_harness.image_command", "build what an arm64 phone runs from"),
    "push": ("pocketllm.android_harness.push_command", "copy the image and a bundle to the phone"),
    "train": ("pocketllm.android_harness.train_command", "fine-tune on the phone"),
    "eval": ("pocketllm.android_harness.eval_command", "evaluate on the phone"),
    "attach": ("pocketllm.android_harness.attach_command", "follow what runs on the phone"),
    "bench": ("pocketllm.android_harness.bench_command", "measure on the phone"),
    "pull": ("pocketllm.android_harness.pull_command", "copy a run back"),
    "clean": (
        "pocketllm.android_harness.clean_command",
        "remove data, runs, bundles from the phone",
    ),
}
