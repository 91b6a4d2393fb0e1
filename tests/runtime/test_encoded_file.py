"""Files of encoded rows: read by a reader of their own, written from the page ENCODED.md alone."""

import hashlib
import json
import shutil
import struct

import numpy as np
import pytest
from bundle_json import as_causal
from opt_reference import EXCERPTS
from small_runs import complaint, pocketllm, rows, write_tsv

from pocketllm.runtime.data.dataset import Dataset, load_dataset, load_split
from pocketllm.runtime.data.encoded import Encoded, EncodedExample
from pocketllm.runtime.data.reader import DataFile
from pocketllm.runtime.encoded_file import NO_GROUP, write_encoded
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.runtime.tasks.metrics import METRICS, Prediction
from pocketllm.runtime.tasks.text import SFT
from pocketllm.runtime.tasks.text import TASKS as TEXT_TASKS


class Reader:
    """Takes numbers off the front of bytes."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, kind, count):
        values = np.frombuffer(self.data, kind, count, self.place)
        self.place += values.nbytes
        return values.tolist()


def read_encoded(path):
    """Returns (header, examples): {"golds", "group", "scores", "sequences"} each."""
    data = path.read_bytes()
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    assert data[:8] == b"PLLMENC1"
    (size,) = struct.unpack_from("<I", data, 8)
    assert (12 + size) % 4 == 0
    header = json.loads(data[12 : 12 + size])
    reader, examples = Reader(data[12 + size : -32]), []
    for _ in range(header["examples"]):
        sequences, golds, group, options = reader.take("<u4", 4)
        example = {"golds": reader.take("<u4", golds), "group": group}
        example["scores"] = {name: reader.take("<f8", options) for name in header["answer_scores"]}
        example["sequences"] = []
        for _ in range(sequences):
            (tokens,) = reader.take("<i4", 1)
            targets = dict(zip(header["targets"], reader.take("<i4", len(header["targets"]))))
            ids = reader.take("<i4", tokens)
            mask = reader.take("<i4", tokens) if header["scoring"] == "tokens" else None
            example["sequences"].append((targets, ids, mask))
        examples.append(example)
    assert reader.place == len(reader.data)
    return header, examples


def check_rows(examples, data):
    """Asserts that examples of a file are those of a data set."""
    for example, expected in zip(examples, data.examples, strict=True):
        assert tuple(example["golds"]) == expected.golds
        assert (example["group"] == NO_GROUP) == (expected.group is None)
        for (targets, ids, mask), sequence in zip(
            example["sequences"], expected.sequences, strict=True
        ):
            assert targets == sequence.target and ids == sequence.input_ids.tolist()
            assert mask == (None if sequence.loss_mask is None else sequence.loss_mask.tolist())


@pytest.fixture
def bundle_of(golden_bundle, tmp_path):
    """Returns the committed bundle, its graphs aside, as one of a causal model for a task."""

    def of(task, scoring, option_tokens=0):
        folder = shutil.copytree(golden_bundle.folder, tmp_path / "causal")
        return as_causal(folder, task, scoring, option_tokens)

    return of


def test_masked_rows_are_those_of_the_data_set(golden_bundle, tmp_path):
    path = write_tsv(tmp_path / "train.tsv", rows(30, seed=3))

    done = pocketllm(
        "encode", f"--bundle={golden_bundle.folder}", f"--data={path}", f"--out={tmp_path}/rows"
    )

    assert done.returncode == 0, done.stderr
    data = load_dataset(path, golden_bundle)
    header, examples = read_encoded(tmp_path / "rows")
    check_rows(examples, data)
    assert header["data"] == "train.tsv" and header["data_sha256"] == data.sha256
    assert header["bundle_checksum"] == golden_bundle.checksum and header["format_version"] == 2
    assert header["targets"] == ["mask_position"] and header["scoring"] == "words"


def test_answers_are_known_by_their_scores_and_groups_by_numbers(bundle_of, tmp_path):
    bundle = bundle_of(TASKS["multirc"], "options", 3)
    data = load_dataset(EXCERPTS / "multirc.jsonl", bundle)
    write_encoded(tmp_path / "rows", data, bundle)

    header, examples = read_encoded(tmp_path / "rows")

    check_rows(examples, data)
    names = {}
    for example, expected in zip(examples, data.examples):
        assert names.setdefault(example["group"], expected.group) == expected.group
    assert len(names) > 2
    assert header["metrics"] == ["f1_a", "exact_match"] and header["answer_scores"] == []


def test_scores_of_options_give_the_metrics_that_texts_give(bundle_of, tmp_path):
    bundle, path = bundle_of(TASKS["record"], "gold", 4), EXCERPTS / "record.jsonl"
    row = Encoded(np.ones(3, np.int32), {"option_start": 1, "option_tokens": 2}, False)
    questions = DataFile(path, TASKS["record"]).examples()
    encoded = [EncodedExample((row,) * len(q.answers), q.golds, None, q.answers) for q in questions]
    data = Dataset(path, encoded, 0, 0, "0" * 64, 1)
    write_encoded(tmp_path / "rows", data, bundle)
    rng = np.random.default_rng(0)

    header, examples = read_encoded(tmp_path / "rows")

    check_rows(examples, data)
    assert header["answer_scores"] == ["exact_match", "f1"]
    chosen = [int(rng.integers(len(example.answers))) for example in data.examples]
    predictions = [
        Prediction(choice, example.golds, example.group, example.answers)
        for choice, example in zip(chosen, data.examples)
    ]
    for name in header["answer_scores"]:
        scores = [example["scores"][name][choice] for example, choice in zip(examples, chosen)]
        assert sum(scores) / len(scores) == METRICS[name](predictions)
        assert max(max(example["scores"][name]) for example in examples) > 0


def test_rows_to_train_on_and_of_a_split_say_so(bundle_of, tmp_path):
    bundle = bundle_of(TASKS["copa"], "gold", 128)
    short = {"premise": "a.", "choice1": "it", "choice2": "ok", "question": "effect"}
    path = tmp_path / "copa.jsonl"
    path.write_text("".join(json.dumps(short | {"label": i % 2}) + "\n" for i in range(9)))
    flags = [f"--bundle={bundle.folder}", f"--data={path}", "--split=6/3"]

    done = pocketllm("encode", *flags, f"--out={tmp_path}/rows", f"--dev_out={tmp_path}/dev")

    assert done.returncode == 0, done.stderr
    parts = load_split(path, bundle, 6, 3)
    for name, part, is_training in zip(("rows", "dev"), parts, (True, False)):
        header, examples = read_encoded(tmp_path / name)
        check_rows(examples, part)
        assert header["split"] == "6/3" and header["training"] is is_training
    again = pocketllm("encode", *flags, f"--out={tmp_path}/rows", f"--dev_out={tmp_path}/dev")
    complaint(again, 2, "exists already; choose another path or give --force")
    complaint(pocketllm("encode", *flags, f"--out={tmp_path}/new"), 2, "--dev_out go together")


def test_learnt_text_has_its_mask(bundle_of, tmp_path):
    bundle = bundle_of(TEXT_TASKS[SFT], "tokens")
    path = tmp_path / "text.jsonl"
    path.write_text('{"prompt": "a film", "completion": "great"}\n' * 3)
    data = load_dataset(path, bundle)
    write_encoded(tmp_path / "rows", data, bundle)

    header, examples = read_encoded(tmp_path / "rows")

    check_rows(examples, data)
    assert header["targets"] == [] and all(any(e["sequences"][0][2]) for e in examples)
