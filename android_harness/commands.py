"""Fine-tune on an arm64 Android phone, over adb: no root, no app to install."""

# command -> (module, what it does), as in pocketllm.runtime.cli
COMMANDS = {
    "image": ("pocketllm.android_harness.image_command", "build what an arm64 phone runs from"),
}
