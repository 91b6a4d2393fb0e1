"""What a folder holds in the place of config.json or of weights, and what to do."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

EXPECTED = (
    "model.safetensors, model.safetensors.index.json, pytorch_model.bin or "
    "pytorch_model.bin.index.json"
)
PARTIAL = "a download that did not end; download it again"
GONE = "a link to a file that is gone; download the model again"
# Pattern of a file's name -> what it is, and the remedy.
INSTEAD = {
    "adapter_*": "an adapter of PEFT; merge it into its base model (merge_and_unload) and "
    "give the folder of that",
    "*.incomplete": PARTIAL,
    "*.part": PARTIAL,
    "*.crdownload": PARTIAL,
    "zero_to_fp32.py": "the shards of DeepSpeed; run zero_to_fp32.py to join them",
    "pytorch_model_fsdp_*": "the shards of FSDP; join them (`accelerate merge-weights`)",
    "*.gguf": "a model of llama.cpp; give the file itself (--model=FILE.gguf)",
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
# Of a training run, beside any weights.
OF_A_RUN = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")
# Folders that hold checkpoints: Trainer's, and the Hub's cache.
INSIDE = ("checkpoint-*", "snapshots/*")


def without_weights(folder: Path) -> str:
    """Returns the end of an error message about a folder that holds no weights that can be read."""
    other = _other(folder)
    if other:
        return f"no weights that can be read; {other}"
    return f"no weights; expected {EXPECTED}, or give a preset with --random_init"


def without_config(folder: Path) -> str:
    """Returns the end of an error message about a folder without config.json."""
    return _other(folder) or "give the folder of a Hugging Face checkpoint"


def as_file(path: Path) -> str:
    """Returns the end of an error message about a file that was given for a folder."""
    words = next((words for pattern, words in INSTEAD.items() if path.match(pattern)), None)
    if words is None or path.suffix == ".safetensors":
        return "give the folder that it lies in"
    return words


def other_among(names: Iterable[str]) -> str | None:
    """Says what one of these files is that is not read, and what to do; None for none of them."""
    names = sorted(name for name in names if not name.startswith(OF_A_RUN))
    for pattern, words in INSTEAD.items():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if matching:
            return f"found {matching[0]}: {words}"
    return None


def _other(folder):
    for path in sorted(folder.glob("*")):
        if path.is_symlink() and not path.exists():
            return f"found {path.name}: {GONE}"
    other = other_among(path.name for path in folder.glob("*"))
    if other:
        return other
    inside = [
        path
        for pattern in INSIDE
        for path in folder.glob(pattern)
        if (path / "config.json").is_file()
    ]
    if inside:
        newest = max(inside, key=lambda path: path.stat().st_mtime)
        return f"give the folder inside it, {newest}"
    return None
