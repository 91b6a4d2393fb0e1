"""What a folder without weights holds instead, and what to do."""

from pathlib import Path

EXPECTED = (
    "model.safetensors, model.safetensors.index.json, pytorch_model.bin or "
    "pytorch_model.bin.index.json"
)
# Pattern of a file's name -> what it is, and the remedy.
INSTEAD = {
    "adapter_model.*": "an adapter of PEFT; merge it into its base model (merge_and_unload) and "
    "give the folder of that",
    "*.gguf": "a model of llama.cpp; give the folder of transformers' checkpoint",
    "tf_model*.h5": "weights for TensorFlow; load them with transformers 4 (from_tf=True) and save "
    "them again",
    "flax_model*": "weights for Flax; load them with transformers 4 (from_flax=True) and save them "
    "again",
    "*.ckpt*": "a training script's checkpoint; save the model with save_pretrained",
    "*.pt": "PyTorch's own file; save the model with save_pretrained",
    "*.pth": "PyTorch's own file; save the model with save_pretrained",
    "*.safetensors": "under another name; call it model.safetensors if it is the whole model",
    "*.onnx": "a model of ONNX; give the folder of transformers' checkpoint",
}
# Folders that hold checkpoints: Trainer's, and the Hub's cache.
INSIDE = ("checkpoint-*", "snapshots/*")


def without_weights(folder: Path) -> str:
    """Returns the end of an error message about a folder that holds no weights that can be read."""
    for pattern, words in INSTEAD.items():
        path = next(iter(sorted(folder.glob(pattern))), None)
        if path:
            return f"no weights that can be read; found {path.name}: {words}"
    inner = inner_checkpoint(folder)
    if inner:
        return f"no weights; give the folder inside it, {inner}"
    return f"no weights; expected {EXPECTED}, or give a preset with --random_init"


def inner_checkpoint(folder: Path) -> Path | None:
    """Returns the newest checkpoint that lies inside a folder; None without any."""
    inside = [
        path
        for pattern in INSIDE
        for path in folder.glob(pattern)
        if (path / "config.json").is_file()
    ]
    return max(inside, key=lambda path: path.stat().st_mtime, default=None)
