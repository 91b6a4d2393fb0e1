"""A model that draws other directions than the reference is refused before its first step."""

import shutil

import pytest
from bundle_json import alter_hash
from noise_kinds import in_graph
from small_runs import complaint, pocketllm, rows, write_tsv

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.engine.noise_check import check_noise
from pocketllm.runtime.errors import RunError


@pytest.fixture
def with_other_noise(golden_bundle, tmp_path):
    """The committed bundle, a bit of its hash's second multiplier altered, its checksums right."""
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "other")
    alter_hash(folder)
    return read_bundle(folder)


@in_graph
def test_a_sound_model_passes_and_starts_at_its_initial_values(kind, noise_bundle, engine):
    bundle = noise_bundle(kind)
    checked, plain = (open_model(bundle, engine=engine, threads=1) for _ in range(2))
    check_noise(checked)
    for model in (checked, plain):
        model.initialize()

    theta = dict(plain.read())
    assert all(values.tobytes() == theta[name].tobytes() for name, values in checked.read())


def test_another_hash_is_found_in_every_engine(with_other_noise, engine):
    model = open_model(with_other_noise, engine=engine, threads=1)

    with pytest.raises(RunError, match="draws another direction z than the reference, first in"):
        check_noise(model)


def test_training_is_refused_in_one_line(with_other_noise, tmp_path):
    data = write_tsv(tmp_path / "train.tsv", rows(8, seed=1))

    done = pocketllm(
        "train", f"--bundle={with_other_noise.folder}", f"--train={data}", "--steps=2",
        "--lr=1e-3", f"--run={tmp_path / 'run'}",
    )  # fmt: skip

    complaint(done, 1, "another direction z than the reference", "could be replayed")
    assert not (tmp_path / "run" / "journal").exists()
