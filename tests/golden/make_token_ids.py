"""Makes sst2_token_ids.npz: the SST-2 prompts of the held-out sentences as transformers sees them.

Run it from anywhere, where transformers is installed: python tests/golden/make_token_ids.py
"""

from pathlib import Path

import numpy as np
import tokenizers
import transformers

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Writes ids uint16 [tokens of all rows], lengths uint8 [rows], and the versions."""
    tokenizer = transformers.RobertaTokenizerFast.from_pretrained(
        ROOT / "tflite_models" / "roberta_tokenizer"
    )

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    data = (ROOT / "tflite_models" / "roberta_micro" / "sst2_heldout.tsv").read_bytes()
    sentences = [row.split("\t")[0] for row in data.decode("utf-8").split("\n")[1:] if row]
    rows = [
        [
            tokenizer.cls_token_id,
            *ids(sentence),
            *ids(" It was"),
            tokenizer.mask_token_id,
            *ids("."),
            tokenizer.sep_token_id,
        ]
        for sentence in sentences
    ]
    np.savez_compressed(
        Path(__file__).with_name("sst2_token_ids.npz"),
        ids=np.array([i for row in rows for i in row], np.uint16),
        lengths=np.array([len(row) for row in rows], np.uint8),
        made_by=f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}",
    )


if __name__ == "__main__":
    main()
