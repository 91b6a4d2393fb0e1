#!/usr/bin/env python3
"""A LoRA adapter of `pocketllm replay` becomes part of its base: a checkpoint of transformers.

    examples/llama_cpp/merge.py BUNDLE ADAPTER BASE OUT

BUNDLE is what was trained, ADAPTER the folder that `replay` wrote, BASE the model that the bundle
was exported from: a folder, OWNER/NAME on the Hub, or a GGUF file. In float32 peft adds the adapter
to it. The tokenizer and the generation settings are those that the bundle has kept.
"""

import argparse
import copy
import json
import sys
import tempfile
from pathlib import Path

from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig


def kept_files(bundle: Path) -> dict[str, str]:
    """Returns {name: text} of the small files of the checkpoint that a bundle was exported from."""
    path = bundle / "source.json"
    if not path.is_file():
        sys.exit(f"error: {path} is missing; give the bundle as `pocketllm export` wrote it")
    entries = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {name: entry["text"] for name, entry in entries.items() if "text" in entry}


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Writes small files; chat templates may lie one folder deeper."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def base_model(base: str, files: dict[str, str]):
    """Loads the base in float32; the config of a GGUF file is the one that the bundle has kept."""
    path = Path(base)
    if not path.is_file():
        return AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"config.json": files["config.json"]})
        config = AutoConfig.from_pretrained(folder)
    plain = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype="float32")
    read = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype="float32",
        quantization_config=GgufConfig(dequantize=True),
    )  # fmt: skip
    plain.load_state_dict(read.state_dict())  # transformers saves no model that it read from GGUF
    return plain


def merge(bundle: Path, adapter: Path, base: str, out: Path) -> None:
    """Writes the checkpoint; ends the program where it cannot be one."""
    if out.exists():
        sys.exit(f"error: {out} exists; name a new folder")
    settings = adapter / "adapter_config.json"
    if not settings.is_file():
        sys.exit(f"error: {adapter} is no adapter; a run of all parameters needs no merging")
    if json.loads(settings.read_text(encoding="utf-8"))["peft_type"] != "LORA":
        sys.exit(f"error: {adapter} is a prefix, which no weights can hold")
    files = kept_files(bundle)
    model = PeftModel.from_pretrained(base_model(base, files), adapter)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as folder:
        beside = Path(folder) / out.name
        model.merge_and_unload().save_pretrained(beside)
        write_files(beside, {name: files[name] for name in files if name != "config.json"})
        beside.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument("adapter", metavar="ADAPTER", type=Path)
    parser.add_argument("base", metavar="BASE")
    parser.add_argument("out", metavar="OUT", type=Path)
    options = parser.parse_args()
    merge(options.bundle, options.adapter, options.base, options.out)
    print(f"{options.out}: the base with the adapter, float32")


if __name__ == "__main__":
    main()
