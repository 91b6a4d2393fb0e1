"""Makes conformance/masked and tiny_forward.npz: a bundle to run where none can be exported (no
TensorFlow), and the losses and logits that PyTorch computes from the same weights.

    python tests/golden/make_forward.py
"""

import importlib.metadata
import json
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).resolve().parent
BUNDLE = HERE.parent / "conformance" / "masked"
SUPPORT = HERE.parent / "support"
sys.path[:0] = [str(SUPPORT / folder) for folder in ("exports", "references", "")]

import tiny
from forward import forward_inputs, torch_forward

from pocketllm.export.signatures import tables
from pocketllm.runtime.bundle.manifest import read_bundle

MODEL = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "tied": False}
LENGTHS = (8, 12)
CHUNK = 8 * 100  # values, so that the embeddings are cut in three
# 8 kB of codebook in place of 4 MB.
TABLE = {"CODEBOOK_ROWS": 128, "CODEBOOK_COLUMNS": 16}


def main():
    """Writes both, replacing what is there."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(tables, **TABLE):
        checkpoint = tiny.write_checkpoint(Path(folder) / "tiny", seed=1, **MODEL)
        bundle = read_bundle(
            tiny.export(checkpoint, Path(folder) / "bundle", lengths=LENGTHS, chunk_values=CHUNK)
        )
        shutil.copytree(bundle.folder, BUNDLE, dirs_exist_ok=True)
        stored = {}
        for tokens in LENGTHS:
            inputs = forward_inputs(tokens, bundle.config["vocab_size"], seed=1)
            loss, logits = torch_forward(checkpoint, inputs, bundle.word_ids)
            stored |= {f"{name}_{tokens}": values for name, values in inputs.items()}
            stored |= {f"loss_{tokens}": loss, f"logits_{tokens}": logits}
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "transformers", "tensorflow", "ai-edge-litert", "numpy")
    }
    np.savez_compressed(HERE / "tiny_forward.npz", versions=json.dumps(versions), **stored)


if __name__ == "__main__":
    main()
