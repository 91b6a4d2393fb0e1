"""Numbers that the native program cannot compute with, or takes all memory for, are refused."""

import json
import shutil

import pytest
from bundle_json import rewrite
from native_program import flags_of, native
from small_runs import complaint
from spoilt_rows import CASES, CONFORMANCE, of_bundle, of_other_targets, spoil

LARGEST = 2**31 - 1


def refused(folder, *texts, style="masked", **changes):
    """Asserts that a run ends with exit code 2, one line that holds `texts`, and no step."""
    flags = {
        "bundle": CONFORMANCE / style, "encoded": CONFORMANCE / f"{style}.rows",
        "run": folder / "run", "steps": 1, "lr": 1e-3, "threads": 1,
    } | changes  # fmt: skip
    done = native(*flags_of(**flags))
    complaint(done, 2, *texts, program="pocketllm-train")
    assert not (folder / "run").exists()


@pytest.mark.parametrize(("style", "place", "value", "text"), CASES)
def test_rows_that_the_model_cannot_compute_with(style, place, value, text, tmp_path):
    path = spoil(style, place, value, tmp_path / "spoilt.rows")

    refused(
        tmp_path, f"{path}: damaged ({text}", "write it again with `pocketllm encode`",
        style=style, encoded=path,
    )  # fmt: skip


def test_rows_whose_targets_are_not_the_models(tmp_path):
    path = of_other_targets(tmp_path / "other.rows")

    refused(
        tmp_path, 'its targets are ["option_tokens","option_start"], expected ["option_s',
        style="causal", encoded=path,
    )  # fmt: skip


def manifest(folder, change):
    """Returns a copy of a bundle with another bundle.json: `change` gets its values."""
    shutil.copytree(CONFORMANCE / "masked", folder / "bundle")
    rewrite(folder / "bundle", change)
    return folder / "bundle"


@pytest.mark.parametrize(
    ("signature", "side", "tensor", "shape", "text"),
    [
        ("read_0", "outputs", "lm_head.layer_norm.bias", [LARGEST, 2**20], "expected float32 [8]"),
        ("write_0", "inputs", "lm_head.layer_norm.bias", [LARGEST], "expected float32 [8]"),
        ("forward_loss_8", "outputs", "logits", [LARGEST, 2], "expected float32 [3,2]"),
        ("forward_loss_12", "inputs", "attention_mask", [LARGEST], "expected int32 [3,12]"),
        ("perturb_and_update", "inputs", "seed", [LARGEST], "bundle.json says int32 [2147483647]"),
        ("initialize_0", "outputs", "done", [2**20, 2**20], "bundle.json says float32 [1048576,1"),
        ("read_0", "outputs", "lm_head.layer_norm.bias", [2**31, 2**31], "the impossible shape"),
    ],
)
def test_a_shape_that_only_the_manifest_says(signature, side, tensor, shape, text, tmp_path):
    def enlarge(values):
        values["signatures"][signature][side][tensor][1] = shape

    bundle = manifest(tmp_path, enlarge)

    rows = of_bundle(bundle, tmp_path / "rows")

    refused(tmp_path, str(bundle), signature, tensor, text, bundle=bundle, encoded=rows)


def test_a_variable_that_is_larger_than_the_model_file(tmp_path):
    def enlarge(values):
        for parameter in values["parameters"]:
            for variable in parameter["variables"]:
                if variable["name"] == "lm_head.layer_norm.bias":
                    variable["shape"] = [LARGEST]
        for name, side in (("read_0", "outputs"), ("write_0", "inputs")):
            values["signatures"][name][side]["lm_head.layer_norm.bias"][1] = [LARGEST]

    refused(
        tmp_path, "bundle.json", "lm_head.layer_norm.bias [2147483647] at",
        "not inside the model file", bundle=manifest(tmp_path, enlarge),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".", ": a folder, expected a file to write"),
        ("run", "--run is there too"),
        ("run/journal", "--run keeps its own files there"),
        ("run/config.json", "--run keeps its own files there"),
        ("run/deeper/e.json", "--run keeps its own files there"),
        ("e" * 250, ": cannot be written: File name too long"),  # nor the file beside it
        ("file/e.json", ": cannot be written: Not a directory"),
        ("new/", ": a folder, expected a file to write"),
    ],
)
def test_a_result_that_cannot_be_written_is_refused_before_the_work(path, text, tmp_path):
    (tmp_path / "file").write_text("")

    refused(tmp_path, f"{tmp_path}/{path}", text, json=f"{tmp_path}/{path}")


def test_a_result_is_not_written_over_a_file_that_is_read(tmp_path):
    bundle = shutil.copytree(CONFORMANCE / "masked", tmp_path / "bundle")
    rows = of_bundle(bundle, tmp_path / "train.rows")
    files = dict.fromkeys(sorted(bundle.iterdir()), "bundle keeps its own files")
    for path, text in [*files.items(), (rows, "encoded is")]:
        before = path.read_bytes()
        refused(tmp_path, f"--json={path}: --{text} there", bundle=bundle, encoded=rows, json=path)
        assert path.read_bytes() == before


def test_the_folder_of_a_result_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "e.json"
    flags = flags_of(
        bundle=CONFORMANCE / "masked", encoded=CONFORMANCE / "masked.rows", run=tmp_path / "run",
        steps=1, lr=1e-3, threads=1, json=path,
    )  # fmt: skip

    assert native(*flags).returncode == 0
    assert json.loads(path.read_text())["last_step"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["e.json"]
