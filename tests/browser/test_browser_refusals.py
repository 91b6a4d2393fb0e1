"""What is wrong is said in one line by examples/browser in Node: exit code 2 for bad input."""

import json
import shutil

import litert_js
import pytest
from native_program import encode, flags_of
from spoilt_rows import CASES, CONFORMANCE, first_example, of_other_targets, replaced, spoil

from pocketllm.runtime.bundle.checksum import write_with_checksum


@pytest.fixture
def folder(small, tmp_path):
    """A copy of the bundle and its rows, to be spoilt."""
    return shutil.copytree(small, tmp_path / "copy")


def train(folder, **changes):
    """Runs two steps, with other flags; None leaves one out."""
    values = {
        "bundle": folder / "bundle", "encoded": folder / "train.rows", "run": folder / "run",
        "steps": 2, "lr": 1e-2,
    } | changes  # fmt: skip
    return litert_js.train(*flags_of(**{k: v for k, v in values.items() if v is not None}))


def refused(done, folder, *texts, code=2):
    """Asserts an exit code, one line on stderr that holds all of `texts`, and no run."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("train.js: error: ") and done.stderr.count("\n") == 1, done.stderr
    assert [text for text in texts if text not in done.stderr] == [], done.stderr
    assert [path.name for path in folder.iterdir() if "run" in path.name] == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bundle": None}, "--bundle is missing"),
        ({"encoded": None}, "--encoded is missing"),
        ({"run": None}, "--run is missing"),
        ({"steps": None}, "--steps is missing: expected a whole number from 1"),
        ({"lr": "auto"}, "--lr=auto: expected a number above 0"),
        ({"steps": 1.5}, "--steps=1.5"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"eps": "nan"}, "--eps=nan"),
        ({"seed": -1}, "--seed=-1"),
        ({"no_such": 1}, "--no_such=1: expected --bundle="),
        ({"bundle": "nowhere"}, "nowhere/bundle.json: cannot be read"),
        ({"encoded": "nowhere"}, "nowhere: cannot be read"),
        ({"encoded": "/"}, "/: a folder, expected a file"),
        ({"dev": "/"}, "/: a folder, expected a file"),
        ({"bundle": __file__}, f"{__file__}: a file, expected the folder of a bundle"),
    ],
)
def test_a_flag_that_is_wrong(changes, text, folder):
    refused(train(folder, **changes), folder, text)


def change(folder, **values):
    """Changes a bundle.json and gives it its checksum."""
    path = folder / "bundle" / "bundle.json"
    write_with_checksum(path, json.loads(path.read_text()) | values)


def test_a_bundle_of_another_format_or_an_altered_one(folder):
    path = folder / "bundle" / "bundle.json"
    sound = path.read_bytes()

    change(folder, format_version=3)
    refused(train(folder), folder, "bundle format 3, this program reads format 2")
    path.write_bytes(sound.replace(b'"batch_size": 3', b'"batch_size": 4'))
    refused(train(folder), folder, "its checksum is another: the file was altered")
    path.write_bytes(sound[:1000])
    refused(train(folder), folder, "no bundle.json (not a JSON object)")
    path.write_bytes(b"[1, 2]")
    refused(train(folder), folder, "no bundle.json (not a JSON object)")
    path.write_bytes(sound)
    model = folder / "bundle" / "model.tflite"
    data = bytearray(model.read_bytes())
    model.write_bytes(data[:-1])
    refused(train(folder), folder, f"model.tflite: {len(data) - 1} bytes, bundle.json says")
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    refused(train(folder), folder, "model.tflite: sha256", "the file was altered")
    model.unlink()
    refused(train(folder), folder, "model.tflite: cannot be read")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batch_size": 0}, "no batch_size"),
        ({"lengths": [12, 8]}, "lengths are not ascending"),
        ({"scoring": "guesses"}, "unknown scoring 'guesses'"),
        ({"signatures": {}}, "no signature 'initialize_0'"),
        ({"slices": 2}, "no signature 'initialize_1'"),
        ({"noise": {}}, "no kind"),
        ({"parameters": 3}, "no parameters"),
        ({"default_eps": None}, "no default_eps"),
    ],
)
def test_a_manifest_that_contradicts_itself(changes, text, folder):
    change(folder, **changes)

    refused(
        train(folder), folder, "bundle.json: not a valid bundle", text, "export the bundle again"
    )


def test_a_signature_that_the_model_lacks(folder):
    signatures = json.loads((folder / "bundle" / "bundle.json").read_text())["signatures"]
    signatures["forward_loss_10"] = signatures["forward_loss_8"]
    change(folder, lengths=[10, 12], signatures=signatures)
    rows = encode(folder / "bundle", folder / "train.tsv", folder / "other.rows")

    done = train(folder, encoded=rows)

    refused(done, folder, "model.tflite: no signature 'forward_loss_10', which bundle.json names")


@pytest.mark.parametrize(("style", "place", "value", "text"), CASES)
def test_rows_that_the_model_cannot_compute_with(style, place, value, text, tmp_path):
    path = spoil(style, place, value, tmp_path / "spoilt.rows")

    done = train(tmp_path, bundle=CONFORMANCE / style, encoded=path)

    refused(done, tmp_path, f"{path}: damaged ({text}", "write it again with `pocketllm encode`")


def test_rows_whose_targets_are_not_the_models(tmp_path):
    path = of_other_targets(tmp_path / "other.rows")

    done = train(tmp_path, bundle=CONFORMANCE / "causal", encoded=path)

    refused(done, tmp_path, 'its targets are ["option_tokens","option_start"], expected ["option_s')


def test_rows_that_are_not_for_this_bundle_or_damaged(folder):
    path = folder / "train.rows"
    sound = path.read_bytes()
    first = first_example(sound)
    header = sound[12:first]
    other = replaced(sound, 12, header.replace(b'"examples": 23', b'"examples": 24'))
    cases = {
        "no encoded rows": (folder / "train.tsv").read_bytes(),
        "encoded rows of version 2": b"PLLMENC2" + sound[8:],
        "damaged (its sha256 is another)": sound[:-40] + b"\xff" + sound[-39:],
        "damaged (too short)": sound[:20],
        "damaged (23 examples, expected 24)": other,
        "damaged (an example is cut short)": replaced(sound[:-36] + sound[-32:], 0, b""),
        "damaged (example 1 has 99 tokens": replaced(sound, first + 20, b"\x63\0\0\0"),
    }
    for text, data in cases.items():
        path.write_bytes(data)
        refused(train(folder), folder, f"{path}: {text}", "write it again with `pocketllm encode`")

    path.write_bytes(sound)
    change(folder, model_name="another")
    refused(train(folder), folder, "the rows are for bundle", "encode the data with this bundle")


def test_a_run_that_exists_is_not_written_over(folder):
    done = train(folder)
    journal = (folder / "run" / "journal").read_bytes()

    again = train(folder)

    assert done.returncode == 0 and again.returncode == 2
    assert again.stderr == f"train.js: error: {folder / 'run'}: exists; choose another --run\n"
    assert (folder / "run" / "journal").read_bytes() == journal


def test_a_place_that_cannot_be_written_leaves_nothing(folder):
    (folder / "file").write_text("")

    done = train(folder, run=folder / "file" / "run")

    refused(done, folder, "cannot be written", code=1)


def test_a_missing_package_says_what_puts_it_there(folder):
    flags = flags_of(
        bundle=folder / "bundle", encoded=folder / "train.rows", run=folder / "run", steps=1, lr=1
    )

    done = litert_js.node(litert_js.EXAMPLE / "train.js", *flags, f"--litert={folder}")

    refused(done, folder, f"holds no {litert_js.BUILD}.js; `make browser` puts it there")
