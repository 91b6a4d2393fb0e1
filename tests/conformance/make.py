"""Makes the vectors of this folder, and with --bundles the bundles (which takes TensorFlow).

python tests/conformance/make.py [--bundles]
"""

import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(HERE.parent / folder) for folder in ("support", "support/exports", "support/references")
]

from pocketllm.export.signatures.tables import noise_table
from pocketllm.runtime import contract, noise
from pocketllm.runtime.bundle.manifest import read_bundle, read_noise
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.encoded_file import write_encoded
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.applied import Applied, Recorder
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step

SEEDS, STREAMS = (0, 1, -1, 2**31 - 1, -(2**31), 123456789), (0, 1, 37, 65535)
WORDS, VALUES = 9, 37  # values: more than two blocks of 16, and no multiple
ORDERS = [
    (count, batch_size, seed, step)
    for count, batch_size in ((1, 1), (5, 3), (14, 5), (100, 64), (872, 16), (3, 7))
    for seed in (0, 1, -5, 2**31 - 1)
    for step in (1, 2, 3, 97, 100_000)
]
ROWS = {"masked": "rows-masked.tsv", "causal": "rows-causal.jsonl"}
SETTINGS = MezoSettings(lr=1e-2, eps=1e-2, weight_decay=0.5, lr_schedule="linear", steps=5)
BATCH_SIZE, SEED = 5, 7


def make_bundles() -> None:
    """Exports the causal bundle; the masked one is that of tests/golden/make_forward.py."""
    import tiny

    from pocketllm.export.signatures import tables

    small = {"CODEBOOK_ROWS": 128, "CODEBOOK_COLUMNS": 16}
    with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(tables, **small):
        sizes = {
            "hidden_size": 8, "ffn_dim": 12, "num_hidden_layers": 1, "word_embed_proj_dim": 8,
            "max_position_embeddings": 128,
        }  # fmt: skip
        checkpoint = tiny.write_opt_checkpoint(Path(folder) / "tiny", seed=1, **sizes)
        out = Path(folder) / "causal"
        tiny.export(checkpoint, out, task="copa", lengths=(24, 64), option_tokens=24)
        shutil.rmtree(HERE / "causal", ignore_errors=True)
        shutil.copytree(out, HERE / "causal")


def make_noise() -> None:
    """noise.json, and beside it the words (uint32) and values of z (float32) that it points to."""
    tables = {
        "codebook": read_noise(read_bundle(HERE / "masked")),
        "rademacher": noise.Noise("rademacher", noise_table("rademacher")),
        "gaussian": noise.Noise("gaussian"),
    }
    words, second, values, cases = [], [], [], []
    for seed in SEEDS:
        for stream in STREAMS:
            key = noise.stream_keys(seed, np.array([stream]))
            words.append(noise.words(noise.counters(WORDS), key))
            angles = noise.mix(key ^ noise.SECOND_WORD_SALT)
            second.append(noise.words(noise.counters(WORDS), angles))
            for kind, table in tables.items():
                cases.append({"kind": kind, "seed": seed, "stream": stream})
                values.append(noise.direction(table, seed, stream, VALUES))
    np.concatenate(words).astype("<u4").tofile(HERE / "noise-words.u32")
    np.concatenate(second).astype("<u4").tofile(HERE / "noise-second-words.u32")
    np.concatenate(values).astype("<f4").tofile(HERE / "noise-values.f32")
    pairs = [{"seed": seed, "stream": stream} for seed in SEEDS for stream in STREAMS]
    described = {
        "words": {"count": WORDS, "cases": pairs},
        "values": {"count": VALUES, "cases": cases},
    }
    _write_json("noise.json", described)


def make_order() -> None:
    """order.json: the examples and the seed of steps."""
    names = ("count", "batch_size", "seed", "step")
    cases = [
        dict(zip(names, case, strict=True))
        | {"members": step_members(*case), "step_seed": step_seed(*case[2:])}
        for case in ORDERS
    ]
    _write_json("order.json", cases)


def make_token_ids() -> None:
    """token_ids.json and STYLE.rows: 20 rows of each style as signatures read them, unpadded."""
    styles = {}
    for style, data in ROWS.items():
        bundle = read_bundle(HERE / style)
        dataset = load_dataset(HERE / data, bundle)
        write_encoded(HERE / f"{style}.rows", dataset, bundle)
        examples = dataset.examples
        styles[style] = {
            "data": data,
            "examples": [
                {
                    "golds": list(example.golds),
                    "sequences": [
                        {
                            "input_ids": sequence.input_ids.tolist(),
                            "target": sequence.target,
                            "truncated": sequence.truncated,
                        }
                        for sequence in example.sequences
                    ],
                }
                for example in examples
            ],
        }
    _write_json("token_ids.json", styles)


def make_run() -> None:
    """run.json, its journal, and the parameters after the last step."""
    bundle = read_bundle(HERE / "masked")
    data = load_dataset(HERE / ROWS["masked"], bundle)
    model = open_model(bundle, threads=1)
    model.initialize()
    header = {
        "format_version": contract.FORMAT_VERSION, "bundle_checksum": bundle.checksum,
        "noise": bundle.noise["kind"], "train_sha256": data.sha256, "batch_size": BATCH_SIZE,
        "seed": SEED, "optimizer": "mezo", "lr": SETTINGS.lr, "eps": SETTINGS.eps,
        "weight_decay": SETTINGS.weight_decay, "lr_schedule": SETTINGS.lr_schedule,
    }  # fmt: skip
    path, steps = HERE / "run.journal", []
    new_journal(path, header)
    recorder = Recorder(model)
    with JournalWriter(path) as journal:
        for number in range(1, SETTINGS.steps + 1):
            members = step_members(len(data.examples), BATCH_SIZE, SEED, number)
            batches, seed = batches_of(data, bundle, members), step_seed(SEED, number)
            step = mezo_step(recorder, partial(model.loss, batches), number, seed, SETTINGS)
            passes, decay = recorder.end_step()
            journal.append(Applied(number, step.losses, step.lr, SETTINGS.eps, passes, decay))
            steps.append(
                {
                    "step": number,
                    "members": members,
                    "seed": seed,
                    "lr": step.lr,
                    "losses": list(step.losses),
                    "projected_grad": step.projected_grad,
                    "passes": [list(map(float, one_pass)) for one_pass in passes],
                    "decay": float(decay),
                    "probe": float(np.float32(SETTINGS.eps)),
                    "journal_bytes": path.stat().st_size,
                }
            )
    variables = dict(model.read())
    with open(HERE / "run-parameters.f32", "wb") as file:
        for variable in bundle.variables:
            file.write(variables[variable.name].astype("<f4").tobytes())
    described = {
        "bundle": "masked",
        "data": ROWS["masked"],
        "header": header,
        "steps": steps,
        "variables": [{"name": v.name, "shape": list(v.shape)} for v in bundle.variables],
    }
    _write_json("run.json", described)


def _write_json(name, values):
    text = json.dumps(values, indent=1)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--bundles" in sys.argv:
        make_bundles()
    make_noise()
    make_order()
    make_token_ids()
    make_run()
