"""What docs/kotlin.md's code says of a bad bundle, batch or file of packed weights."""

import json
import os
import shutil

import numpy as np
import pytest
from bundle_json import rewrite, update
from disks import mounted
from kotlin_rows import losses_along, training_rows, write_rows

from pocketllm.runtime.data.batches import Row
from pocketllm.runtime.data.encoded import Encoded

pytestmark = pytest.mark.desktop
EPS, SEED = 1e-2, 77
PACKED, STAMP = "packed-weights", "packed-weights.json"


def changed(**values):
    """Sets values of bundle.json."""
    return lambda folder: update(folder, **values)


def without(*keys):
    """Takes a value out of bundle.json."""

    def change(values):
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return lambda folder: rewrite(folder, change)


def flipped(name, place):
    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[place] ^= 1
        (folder / name).write_bytes(data)

    return change


BAD = {
    "bundle.json: format 1, expected 2": changed(format_version=1),
    "bundle.json: was altered": lambda folder: (folder / "bundle.json").write_text(
        (folder / "bundle.json").read_text().replace('"slices": 1', '"slices": 2')
    ),
    "bundle.json: no bundle (No value for slices)": without("slices"),
    "no signature read_0": without("signatures", "read_0"),
    "model.tflite: missing or altered": flipped("model.tflite", -5),
    "tokenizer.json: missing or altered": flipped("tokenizer.json", 30),
    "bundle.json: no bundle (": lambda folder: (folder / "bundle.json").write_text("[1, 2]"),
    "bundle.json: no bundle (End of input": lambda f: (f / "bundle.json").write_text(""),
    "bundle.json: cannot be read": lambda folder: (folder / "bundle.json").unlink(),
    "holds no ../model.tflite": changed(files={"../model.tflite": {}}),
}


def test_a_bad_bundle_is_one_line_that_names_the_file_and_the_fault(
    kotlin, golden_bundle, tmp_path
):
    folders = [
        shutil.copytree(golden_bundle.folder, tmp_path / str(number))
        for number in range(len(BAD) + 2)
    ]
    for folder, change in zip(folders, BAD.values()):
        change(folder)
    (folders[-2] / "model.tflite").unlink()
    for name in ("source.json", "tokenizer.json"):  # an app may leave them out
        (folders[-1] / name).unlink()

    result = kotlin.well(tmp_path, "open", bundles=list(map(str, folders)))
    *answers, missing, well = result.values("open")

    assert well == "well" and "model.tflite: missing or altered" in missing
    for folder, message, text in zip(folders, BAD, answers):
        assert text.startswith(f"BadFileException: {folder}") and message in text, text
        assert (text.count("\n") == 0 and "export the bundle again" in text) or "holds no" in text


def row(tokens, target="mask_position", *, place=0, token=1):
    return Row((Encoded(np.full(tokens, token, np.int32), {target: place}, False),), 0)


def test_a_batch_that_does_not_fit_is_said_before_anything_runs(kotlin, micro, tmp_path):
    most = micro("lora").config["vocab_size"] - 1
    cases = {
        f"token {most + 1}, expected 0 to {most}: take the": [row(5, token=most + 1)],
        f"token -1, expected 0 to {most}: take the": [row(5, token=-1)],
        "mask_position=5, expected 0 to 4: the row has no": [row(5, place=5)],
        "a row of 40 tokens, the bundle takes 32: cut it": [row(40)],
        "forward_loss_16: mask_position takes 4 numbers": [row(5, "last_position")],
    }
    for message, rows in cases.items():
        result = kotlin.run(
            tmp_path, "probe", bundle=micro("lora").folder, packed=tmp_path, seed=1, eps=EPS,
            rows=write_rows(tmp_path / "rows.json", rows),
        )  # fmt: skip

        assert result.code == 1
        assert f"IllegalArgumentException: {message}" in result.errors


def test_a_disk_without_space_for_packed_weights_is_said_before_they_are_made(
    kotlin, micro, tmp_path
):
    disk, size = tmp_path / "disk", 1 << 20
    with mounted(disk, size):
        result = kotlin.run(
            tmp_path, "probe", bundle=micro("lora").folder, packed=disk, seed=1, eps=EPS,
            rows=write_rows(tmp_path / "rows.json", [row(5)]),
        )  # fmt: skip
        left = list(disk.iterdir())

    assert result.code == 1 and left == []
    assert f"IOException: {disk / PACKED}: {size} bytes are free, " in result.errors


@pytest.fixture(scope="module")
def bundles(make_checkpoint, make_bundle):
    """Two models of the same shapes on int8."""
    from pocketllm.export.tune.lora import Lora

    tuned = {"kind": "lora", "base": "int8", "lora": Lora()}
    return [make_bundle(make_checkpoint(seed=seed), **tuned) for seed in (0, 1)]


@pytest.fixture
def compute(kotlin, bundles, open_ready, train_tsv, tmp_path):
    """Returns (Kotlin's losses, Python's) of one of the bundles, packed in a shared folder."""
    packed = tmp_path / "packed"
    packed.mkdir()

    def losses(number):
        bundle, model = bundles[number], open_ready(bundles[number], "litert")
        rows = training_rows(train_tsv, bundle)
        result = kotlin.well(
            tmp_path, "probe", bundle=bundle.folder, packed=packed, seed=SEED, eps=EPS,
            rows=write_rows(tmp_path / "rows.json", rows),
        )  # fmt: skip
        return result.numbers("losses")[0], losses_along(model, rows, seed=SEED, eps=EPS)

    losses.folder = packed
    return losses


def test_a_new_model_beside_an_old_file_of_packed_weights_is_right(compute):
    old, expected = compute(0)
    assert old == expected
    packed = (compute.folder / PACKED).read_bytes()
    stamp = json.loads((compute.folder / STAMP).read_text())
    (compute.folder / f"{PACKED}.new").write_bytes(b"of an app that was killed")

    new, expected = compute(1)

    assert new == expected and (compute.folder / PACKED).read_bytes() != packed
    # What the stamp is for: the old file with the new one's stamp makes a mixture of both models.
    newer = json.loads((compute.folder / STAMP).read_text())
    (compute.folder / PACKED).write_bytes(packed)
    status = (compute.folder / PACKED).stat()
    newer |= {"bytes": status.st_size, "modified": status.st_mtime_ns // 1_000_000}
    (compute.folder / STAMP).write_text(json.dumps(newer | {"sha256": stamp["sha256"]}))
    mixture, expected = compute(1)
    assert mixture != expected and mixture != old


def test_packed_weights_are_made_again_where_anything_differs(compute):
    path, stamp = compute.folder / PACKED, compute.folder / STAMP

    def inode_after(change):
        change()
        losses, expected = compute(0)
        assert losses == expected
        return path.stat().st_ino, path.stat().st_ctime_ns

    def restamped(key):
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {key: "another"}))

    first = inode_after(lambda: None)
    assert inode_after(lambda: None) == first
    touched = inode_after(lambda: os.utime(path, (1, 1)))
    assert touched[0] == first[0] and path.stat().st_mtime == 1, "a copy, whose contents decide"
    altered = inode_after(lambda: flipped(path.name, 900)(path.parent))
    assert altered != touched
    others = [inode_after(lambda key=key: restamped(key)) for key in ("processor", "library")]
    broken = inode_after(lambda: stamp.write_text("{"))
    assert len({altered, *others, broken, inode_after(stamp.unlink)}) == 5
