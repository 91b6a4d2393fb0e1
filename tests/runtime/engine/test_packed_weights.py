"""Packed weights in a file: the same bits as without, made once, never used where they differ."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from desktop_child import in_child
from small_runs import complaint, pocketllm, rows, state_of, write_tsv

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.engine import packed_weights, packing
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.engine.packed_weights import open_packed
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import sha256_of

pytestmark = pytest.mark.desktop


@pytest.fixture
def bundle(make_checkpoint, tmp_path):
    """A LoRA bundle of its own on an int8 base."""
    return read_bundle(
        in_child("tiny.export", make_checkpoint(), tmp_path / "b", kind="lora", base="int8")
    )


def steps(model, data):
    """Takes calls of every kind; returns the losses and the state."""
    model.initialize()
    losses = []
    for seed in range(3):
        model.perturb(seed, 0.1)
        losses.append(model.loss(batches_of(data, model.bundle, range(20))))
        model.decay(0.9)
    return losses, state_of(model)


def packed(bundle):
    """Returns what the file system says of the file."""
    return (bundle.folder / contract.PACKED_FILE).stat()


@pytest.mark.parametrize("base", ["fp32", "int8"])
@pytest.mark.parametrize("kind", ["lora", "prefix", "head"])
def test_every_call_gives_the_bits_that_it_gives_without_the_file(
    kind, base, make_checkpoint, make_bundle, open_ready, tmp_path
):
    bundle = make_bundle(make_checkpoint(), kind=kind, base=base)
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    expected = steps(open_ready(bundle, "litert", interpreter=True), data)

    for _ in ("packing", "packed"):
        model = Model(bundle, open_packed(bundle, 1))
        assert steps(model, data) == expected
    model.write({v.name: np.full(v.shape, 0.5, np.float32) for v in bundle.variables})
    assert all((values == 0.5).all() for _, values in model.read())


def test_the_file_is_made_once(bundle):
    lines = []
    open_packed(bundle, 1, say=lines.append)
    before = packed(bundle)
    open_packed(bundle, 1, say=lines.append)

    assert len(lines) == 1 and "packing the frozen weights" in lines[0]
    assert packed(bundle).st_mtime_ns == before.st_mtime_ns and before.st_size > 0


def spoil_stamp(bundle):
    (bundle.folder / contract.PACKED_STAMP).write_text("{}")


def lose_stamp(bundle):
    (bundle.folder / contract.PACKED_STAMP).unlink()


def cut_short(bundle):
    path = bundle.folder / contract.PACKED_FILE
    path.write_bytes(path.read_bytes()[:-100])


def damage_one_byte(bundle):
    path = bundle.folder / contract.PACKED_FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [spoil_stamp, lose_stamp, cut_short, damage_one_byte])
def test_a_file_that_does_not_match_is_made_again(spoil, bundle):
    open_packed(bundle, 1)
    size = packed(bundle).st_size
    spoil(bundle)
    lines = []
    open_packed(bundle, 1, say=lines.append)

    assert len(lines) == 1 and packed(bundle).st_size == size


def test_damaged_contents_are_not_computed_with(bundle, tmp_path):
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    expected = steps(Model(bundle, open_packed(bundle, 1)), data)
    path = bundle.folder / contract.PACKED_FILE
    path.write_bytes(bytes(packed(bundle).st_size))

    assert steps(Model(bundle, open_packed(bundle, 1)), data) == expected


@pytest.mark.parametrize("writable", [True, False])
def test_a_copy_is_read_once_and_taken_as_it_is(writable, bundle, tmp_path, monkeypatch):
    open_packed(bundle, 1)
    copy = replace(bundle, folder=shutil.copytree(bundle.folder, tmp_path / "copy"))
    os.utime(copy.folder / contract.PACKED_FILE, ns=(0, 0))
    if not writable:
        monkeypatch.setattr(packed_weights.os, "access", lambda *_: False)
    digests, lines = [], []
    monkeypatch.setattr(packed_weights, "sha256_of", lambda p: digests.append(p) or sha256_of(p))
    for _ in range(2):
        open_packed(copy, 1, say=lines.append)

    assert lines == [] and len(digests) == (1 if writable else 2)


def test_the_file_of_another_model_or_machine_is_made_again(bundle, monkeypatch):
    lines = []
    open_packed(bundle, 1, say=lines.append)
    open_packed(replace(bundle, checksum="0" * 64), 1, say=lines.append)
    monkeypatch.setattr(packed_weights, "processor", lambda: "another one")
    open_packed(bundle, 1, say=lines.append)
    monkeypatch.setattr(packed_weights, "instructions", lambda: "of the same name, without avx2")
    open_packed(bundle, 1, say=lines.append)

    assert len(lines) == 4


def test_a_folder_that_cannot_be_written_is_named(bundle, monkeypatch):
    monkeypatch.setattr(packed_weights.os, "access", lambda *_: False)
    with pytest.raises(InputError, match="cannot be written.*--nopacked_weights"):
        open_packed(bundle, 1)


def test_a_line_break_in_the_path_is_refused(bundle):
    """LiteRT would end the path there."""
    named = replace(bundle, folder=bundle.folder / "two\nlines")
    with pytest.raises(InputError, match="a line break in its path.*--nopacked_weights"):
        open_packed(named, 1)


def test_a_library_that_dies_over_the_file_is_told_with_its_last_lines(bundle, monkeypatch):
    def die(*_):
        os.write(2, b"INFO: packing\nERROR: cannot append\n")
        os.abort()

    monkeypatch.setattr(packing, "CompiledEngine", die)
    message = (
        r"packed-weights: .*packing died of SIGABRT \(it printed: ERROR: cannot append\); .*--no"
    )
    with pytest.raises(RunError, match=message):
        open_packed(bundle, 1)
    monkeypatch.setattr(packing, "CompiledEngine", lambda *_: None)
    with pytest.raises(RunError, match=r"packing wrote nothing; [0-9,]+ bytes are needed"):
        open_packed(bundle, 1)

    assert {path.name for path in bundle.folder.iterdir()} == set(bundle.files) | {"bundle.json"}


def test_a_file_takes_at_least_the_bytes_that_are_checked_first(make_checkpoint, make_bundle):
    for base in contract.BASES:
        bundle = make_bundle(make_checkpoint(), kind="lora", base=base)
        open_packed(bundle, 1)
        assert 0 < packing.least_packed_bytes(bundle) <= packed(bundle).st_size


def test_commands_use_the_file_and_an_export_replaces_it(bundle, tmp_path):
    data = write_tsv(tmp_path / "train.tsv", rows(20, seed=3))
    flags = ["eval", f"--bundle={bundle.folder}", f"--data={data}"]
    with_file, without = pocketllm(*flags), pocketllm(*flags, "--nopacked_weights")
    assert (with_file.returncode, with_file.stderr) == (0, "")
    assert "packed weights in a mapped file" in with_file.stdout
    assert "packed weights in memory" in without.stdout
    assert with_file.stdout.splitlines()[-1] == without.stdout.splitlines()[-1]

    export = ["export", "--model=roberta-micro", "--task=sst2", "--lengths=32"]
    out = f"--out={bundle.folder}"
    complaint(pocketllm(*export, out), 2, "exists already")
    (bundle.folder / ".packed-weights.partial-1234567").touch()  # of a process that died
    assert pocketllm(*export, out, "--force").returncode == 0
    assert not (bundle.folder / contract.PACKED_FILE).exists()
