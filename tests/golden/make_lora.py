"""Makes lora_int8: a small bundle of LoRA on int8, for environments that cannot export one.

python tests/golden/make_lora.py
"""

import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "lora_int8"
SUPPORT = HERE.parent / "support"
sys.path[:0] = [str(SUPPORT / folder) for folder in ("exports", "references", "")]

import tiny
from make_forward import LENGTHS, MODEL, TABLE

from pocketllm.export.signatures import tables


def main():
    """Writes it, replacing what is there."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(tables, **TABLE):
        checkpoint = tiny.write_checkpoint(Path(folder) / "tiny", seed=1, **MODEL)
        out = Path(folder) / "bundle"
        tiny.export(checkpoint, out, lengths=LENGTHS, kind="lora", base="int8")
        shutil.rmtree(BUNDLE, ignore_errors=True)
        shutil.copytree(out, BUNDLE)


if __name__ == "__main__":
    main()
