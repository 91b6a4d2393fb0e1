"""What is wrong is said in one line by the native program: exit code 2 for bad input, 1 else."""

import json
import shutil
import subprocess
from functools import partial

import pytest
from bundle_json import alter_hash, update
from disks import limited
from native_program import PROGRAM, encode, files_of, flags_of, native
from small_runs import complaint, rows, write_tsv
from waiting import wait_until

refused = partial(complaint, program="pocketllm-train")
TABLE = {"kind": "codebook", "rows": 128, "columns": 16, "offset": 0}


@pytest.fixture
def folder(small, tmp_path):
    """A copy of the bundle and its rows, to be spoilt."""
    return shutil.copytree(small, tmp_path / "copy")


def train(folder, *flags, **changes):
    """Runs three steps, with other flags."""
    values = {
        "bundle": folder / "bundle", "encoded": folder / "train.rows", "run": folder / "run",
        "steps": 3, "lr": 1e-2, "threads": 1,
    } | changes  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None}
    return native(*flags_of(**given), *flags)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bundle": None}, "--bundle is missing"),
        ({"encoded": None}, "--encoded is missing"),
        ({"run": None}, "--run is missing"),
        ({"steps": None}, "--steps is missing"),
        ({"lr": None}, "--lr is missing"),
        ({"lr": "auto"}, "--lr is missing"),
        ({"eps": "auto"}, "--eps=auto: this program measures none; leave it out"),
        ({"steps": 0}, "--steps=0: expected a whole number from 1"),
        ({"steps": "many"}, "--steps=many"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"lr": "nan"}, "--lr=nan"),
        ({"eps": 0}, "--eps=0"),
        ({"seed": -1}, "--seed=-1"),
        ({"threads": 1000}, "--threads=1000"),
        ({"optimizer": "adam"}, "expected mezo or fzoo"),
        ({"directions": 3}, "--directions is a setting of fzoo"),
        ({"optimizer": "fzoo", "directions": 1}, "shows no slope"),
        ({"lr_schedule": "steep"}, "expected constant, linear or cosine"),
        ({"no_such": 1}, "unknown flag --no_such"),
        ({"bundle": "nowhere"}, "nowhere/bundle.json: cannot be read"),
        ({"encoded": "nowhere"}, "nowhere: No such file"),
        ({"encoded": "/"}, "/: a folder, expected a file of rows; give one that"),
        ({"encoded": "/dev/null"}, "/dev/null: no regular file, expected a file of rows"),
        ({"dev": "/"}, "/: a folder, expected a file of rows"),
        ({"bundle": __file__}, f"{__file__}: a file, expected the folder of a bundle"),
        ({"max_temp": 40}, "does not tell its battery's temperature"),
    ],
)  # fmt: skip
def test_a_flag_that_is_wrong(changes, text, folder):
    missing = folder / "no-sys"

    refused(
        train(folder, **changes) if "max_temp" not in changes else cold(folder, missing), 2, text
    )
    assert not (folder / "run").exists()


def cold(folder, sys):
    """Runs with a limit on a machine that has no battery."""
    flags = flags_of(
        bundle=folder / "bundle", encoded=folder / "train.rows", run=folder / "run", steps=3, lr=1
    )
    return native(*flags, "--max_temp=40", POCKETLLM_SYS=str(sys))


def change(folder, **values):
    """Sets values of bundle.json."""
    update(folder / "bundle", **values)


def test_a_bundle_of_another_format_or_an_altered_one(folder):
    path = folder / "bundle" / "bundle.json"
    sound = path.read_bytes()

    change(folder, format_version=3)
    refused(train(folder), 2, "bundle format 3, this program reads format 2")
    path.write_bytes(sound.replace(b'"batch_size": 3', b'"batch_size": 4'))
    refused(train(folder), 2, "checksum", "the file was altered")
    path.write_bytes(sound[:1000])
    refused(train(folder), 2, "not JSON")
    path.write_bytes(b"[" * 200_000)
    refused(train(folder), 2, "not JSON")
    path.write_bytes(sound)
    for name in ("model.tflite", "tokenizer.json"):
        data = bytearray((folder / "bundle" / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "bundle" / name).write_bytes(data)
        refused(train(folder), 2, f"{name}: sha256", "the file was altered")
        data[len(data) // 2] ^= 1
        (folder / "bundle" / name).write_bytes(data)
    (folder / "bundle" / "tokenizer.json").unlink()  # of no use here
    assert train(folder).returncode == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batch_size": 0}, "batch_size and slices must be positive"),
        ({"lengths": [12, 8]}, "lengths are not ascending"),
        ({"lengths": "8"}, "not a valid bundle"),
        ({"scoring": "guesses"}, "unknown scoring"),
        ({"signatures": {}}, "no signature 'initialize_0'"),
        ({"slices": 2}, "no signature 'initialize_1'"),
        ({"noise": {}}, "not a valid bundle"),
        ({"noise": TABLE | {"rows": 0}}, "noise table is not inside the model file"),
        ({"noise": TABLE | {"columns": 0}}, "noise table is not inside the model file"),
        ({"parameters": []}, "parameters lack"),
        ({"batch_size": 2}, "takes no rows of 8 tokens for a batch of 2"),
        ({"files": {"../a": {"bytes": 1, "sha256": ""}}}, "not a valid bundle"),
        ({"default_eps": None}, "not a valid bundle"),
    ],
)
def test_a_manifest_that_contradicts_itself(changes, text, folder):
    change(folder, **changes)

    refused(train(folder), 2, "bundle.json", text)


def test_a_signature_that_the_model_lacks(folder):
    values = json.loads((folder / "bundle" / "bundle.json").read_text())
    signatures = values["signatures"]
    longer = json.loads(json.dumps(signatures["forward_loss_8"]).replace("[3, 8]", "[3, 10]"))
    change(
        folder,
        lengths=[10, 12],
        signatures=signatures | {"forward_loss_10": longer},
    )
    encode(folder / "bundle", folder / "train.tsv", folder / "other.rows")

    done = train(folder, encoded=folder / "other.rows")

    refused(done, 2, "no signature 'forward_loss_10'; export it again")
    assert train(folder, encoded=folder / "other.rows").returncode == 2  # nothing was half-written


def test_rows_that_are_no_rows_or_of_another_bundle(folder):
    path = folder / "train.rows"
    sound = path.read_bytes()
    for data, text in (
        (b"", "damaged"),
        (b"sentence\tlabel\n" * 9, "no encoded rows"),
        (sound[:7] + b"2" + sound[8:], "encoded rows of version 2"),
        (sound[:-1], "its sha256 is another"),
        (sound[:300] + bytes([sound[300] ^ 1]) + sound[301:], "its sha256 is another"),
    ):
        path.write_bytes(data)
        refused(train(folder), 2, "train.rows", text)
    path.write_bytes(sound)
    change(folder, model_name="another")
    refused(train(folder), 2, "the rows are for bundle", "encode the data with this bundle")


def test_a_run_directory_that_holds_something_else(folder):
    run = folder / "run"
    run.mkdir()
    (run / "letter.txt").write_text("dear")
    refused(train(folder), 2, "exists and holds no run")
    (run / "letter.txt").unlink()
    assert train(folder).returncode == 0
    before = files_of(run)

    for changes, text in (
        ({"lr": 2e-2}, "another config (lr 0.01 -> 0.02)"),
        ({"seed": 1}, "seed 0 -> 1"),
        ({"steps": 2}, "holds 3 steps, more than --steps=2"),
        ({"optimizer": "fzoo"}, "holds a run with --optimizer=mezo, this one is fzoo"),
    ):
        refused(train(folder, **changes), 2, text)
    assert files_of(run) == before
    assert train(folder, lr=None, steps=4).returncode == 0  # the rate of the run


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda data: data[:7] + b"2" + data[8:], "a journal of version 2"),
        (lambda data: b"PLLMGRD1" + data[8:], "a run with gradients"),
        (lambda data: b"nothing", "no journal"),
        (lambda data: data[:20] + b"x" + data[21:], "the header is damaged"),
        (lambda data: data[:-100] + b"x" + data[-99:], "record 2 is damaged"),
    ],
)
def test_a_journal_that_was_altered(spoil, text, folder):
    assert train(folder).returncode == 0
    path = folder / "run" / "journal"
    path.write_bytes(spoil(path.read_bytes()))

    refused(train(folder, steps=5), 2, "run/journal", text)


def test_a_record_that_was_cut_off_is_left_out_and_done_again(folder):
    assert train(folder, steps=5).returncode == 0
    whole = files_of(folder / "run")
    path = folder / "run" / "journal"
    path.write_bytes(whole["journal"][:-30])

    done = train(folder, steps=5)

    assert done.returncode == 0 and "bytes are of a step that was not finished" in done.stdout
    assert files_of(folder / "run") == whole


def test_a_second_process_is_kept_out(folder):
    process = subprocess.Popen(
        [PROGRAM, *flags_of(bundle=folder / "bundle", encoded=folder / "train.rows", lr=1e-3,
                            run=folder / "run", steps=1_000_000, threads=1)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until((folder / "run" / "journal").exists, "a journal")
        done = train(folder, lr=1e-3, steps=1_000_000)
    finally:
        process.kill()
        process.wait()

    refused(done, 2, "another process trains in it")


def test_a_loss_that_is_not_finite_ends_the_run(folder):
    done = train(folder, steps=50, lr=1e30)

    refused(done, 1, "the loss", "not finite", "the run keeps step 0", "smaller --lr or --eps")


def test_a_full_disk_ends_the_run_and_space_lets_it_go_on(folder):
    whole, run = folder / "whole", folder / "run"
    assert train(folder, run=whole, steps=60).returncode == 0
    with limited(3000):
        done = train(folder, steps=60)

    refused(done, 1, "journal: cannot be written", "free some space")
    assert "the run goes on without lines until there is space" in done.stdout
    assert 0 < len(files_of(run)["journal"]) <= 3000
    assert train(folder, steps=60).returncode == 0
    assert files_of(run) == files_of(whole)


def test_rows_of_other_data_are_another_run(folder):
    assert train(folder).returncode == 0
    other = write_tsv(folder / "other.tsv", rows(9, seed=8))
    encode(folder / "bundle", other, folder / "other.rows")

    refused(train(folder, encoded=folder / "other.rows"), 2, "train_sha256")


def test_a_model_that_draws_other_directions_is_refused_before_its_first_step(folder):
    alter_hash(folder / "bundle")
    encode(folder / "bundle", folder / "train.tsv", folder / "train.rows", "--force")

    refused(train(folder), 1, "another direction z than the reference", "could be replayed")
    assert not (folder / "run" / "journal").exists()
