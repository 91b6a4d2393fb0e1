"""`pocketllm train --optimizer=adam` from outside: what it refuses, trains, keeps and reports."""

import shutil

import pytest
from bundle_json import rewrite
from small_runs import complaint, pocketllm

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def claimed(golden_bundle, tmp_path):
    """The committed bundle, its bundle.json claiming gradients that the model file lacks."""
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "claimed")
    names = [f"adam_step_{tokens}" for tokens in golden_bundle.lengths]

    def claim(values):
        values["optimizers"] = ["mezo", "adam"]
        for name in (*names, "adam_read_0", "adam_write_0"):
            values["signatures"][name] = {"inputs": {}, "outputs": {}}

    rewrite(folder, claim)
    return folder


def drop(folder, signature):
    """Takes a signature out of bundle.json."""
    rewrite(folder, lambda values: values["signatures"].pop(signature))


def flags(bundle, data, run, **changes):
    values = {
        "bundle": bundle, "train": data, "run": run, "optimizer": "adam", "steps": 4,
        "batch_size": 3, "lr": 1e-3, "threads": 1,
    } | changes  # fmt: skip
    return ["train", *(f"--{name}={value}" for name, value in values.items())]


@pytest.mark.parametrize("eps", ["1e-3", "0.5"])
def test_the_size_of_mezos_probe_is_refused(eps, claimed, train_file, tmp_path):
    done = pocketllm(*flags(claimed, train_file, tmp_path / "run", eps=eps))

    complaint(done, 2, "--eps is a setting of mezo, fzoo; leave it out with --optimizer=adam")
    assert not (tmp_path / "run").exists()


def test_a_bundle_without_gradients_says_how_to_export_one(golden_bundle, train_file, tmp_path):
    done = pocketllm(*flags(golden_bundle.folder, train_file, tmp_path / "run"))

    complaint(
        done, 2, "optimizers are mezo, expected adam", "export it with --optimizers=mezo,adam"
    )
    assert not (tmp_path / "run").exists()


def test_more_examples_than_the_graph_has_rows_say_how_to_export(claimed, train_file, tmp_path):
    done = pocketllm(*flags(claimed, train_file, tmp_path / "run", batch_size=8))

    complaint(done, 2, "--batch_size=8: ", "has 3 rows", "--optimizers=mezo,adam --batch_size=8")
    assert not (tmp_path / "run").exists()


def test_a_bundle_that_claims_a_step_it_does_not_list_is_refused(claimed, train_file, tmp_path):
    drop(claimed, "adam_step_8")

    done = pocketllm(*flags(claimed, train_file, tmp_path / "run"))

    complaint(done, 2, "missing 'adam_step_8'", "export the bundle again")


def test_a_bundle_whose_moments_cannot_be_read_or_written_is_refused(claimed, train_file, tmp_path):
    drop(claimed, "adam_write_0")
    done = pocketllm(*flags(claimed, train_file, tmp_path / "run"))
    complaint(done, 2, "missing 'adam_write_0'", "export the bundle again")

    drop(claimed, "adam_read_0")
    done = pocketllm(*flags(claimed, train_file, tmp_path / "run"))
    complaint(done, 2, "no signature adam_read_0, which a run that goes on needs; export it again")
    assert not (tmp_path / "run").exists()


def test_a_model_file_without_the_signatures_is_named(claimed, train_file, tmp_path):
    done = pocketllm(*flags(claimed, train_file, tmp_path / "run"))

    complaint(done, 2, "model.tflite: no signature 'adam_initialize'; export it again")
