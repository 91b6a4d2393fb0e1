"""What train and eval say about bad input and failures: one line, the right exit code."""

import json
import shutil

import pytest
from small_runs import RECORD_BYTES, complaint, pocketllm, python, rows, write_tsv

from pocketllm.runtime.journal.reader import JOURNAL

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def train(golden_bundle, train_file, tmp_path):
    """Runs `pocketllm train` with good flags, some of them replaced."""

    def run(**changes):
        flags = {
            "bundle": golden_bundle.folder, "train": train_file, "run": tmp_path / "run",
            "steps": 2, "threads": 1,
        } | changes  # fmt: skip
        return pocketllm("train", *(f"--{name}={value}" for name, value in flags.items()))

    return run


@pytest.fixture
def evaluate(golden_bundle, dev_file):
    """Runs `pocketllm eval` with good flags, some of them replaced."""

    def run(**changes):
        flags = {"bundle": golden_bundle.folder, "data": dev_file, "threads": 1} | changes
        return pocketllm("eval", *(f"--{name}={value}" for name, value in flags.items()))

    return run


@pytest.fixture(params=["train", "dev", "data"])
def with_data(request, train, evaluate):
    """Runs train or eval with this file as one of their inputs."""
    return lambda path: (evaluate if request.param == "data" else train)(**{request.param: path})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "found no labelled rows"),
        (b"sentence\tlabel\n", "found no labelled rows"),
        (b"sentence\tgrade\nok\t1\n", "line 1: no column for 'label'"),
        (b"text\tsentence_id\nok\t1\n", "line 1: no column for 'label'"),
        (b"sentence\tlabel\nok\t1\nbad\t7\n", "line 3: found the label '7', expected 0, 1"),
        (b"sentence\tlabel\nok\t1\nca\xe9\t1\n", "line 3: found byte 0xe9"),
    ],
    ids=["missing", "empty", "header", "no-label", "no-label-2", "unknown-label", "not-utf8"],
)
def test_bad_data_is_named_with_its_line(content, message, with_data, tmp_path):
    path = tmp_path / "data.tsv"
    if content is not None:
        path.write_bytes(content)

    complaint(with_data(path), 2, str(path), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("steps", 0, "--steps=0: expected 1 or more"),
        ("steps", -1, "--steps=-1: expected 1 or more"),
        ("batch_size", 0, "--batch_size=0: expected 1 or more"),
        ("eval_every", -1, "--eval_every=-1: expected 0 or more"),
        ("eps", 0, "--eps=0.0: expected a number from 1e-30 to 1e30"),
        ("eps", "nan", "--eps=nan: expected a number from 1e-30 to 1e30"),
        ("eps", "inf", "--eps=inf: expected a number from 1e-30 to 1e30"),
        ("eps", "1e-300", "--eps=1e-300: expected a number from 1e-30 to 1e30"),
        ("seed", -1, "--seed=-1: expected 0 to 4294967295"),
        ("seed", 2**32, "--seed=4294967296: expected 0 to 4294967295"),
        ("lr", -1, "--lr=-1.0: expected 0 or more"),
        ("lr", "inf", "--lr=inf: expected 0 or more"),
        ("weight_decay", "nan", "--weight_decay=nan: expected 0 or more"),
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_is_written(
    flag, value, message, train, tmp_path
):
    complaint(train(**{flag: value}), 2, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("threads", [-1, 100_000])
def test_a_number_of_threads_that_no_machine_has_is_refused(threads, train, evaluate):
    for command in (train, evaluate):
        complaint(command(threads=threads), 2, f"--threads={threads}: expected 0 to 256")


def test_a_bundle_of_another_format_version_is_refused(golden_bundle, train, evaluate, tmp_path):
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    values = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(values | {"format_version": 1}))

    for command in (train, evaluate):
        complaint(command(bundle=folder), 2, "bundle format 1, this runtime reads format 2")


def test_an_altered_bundle_is_refused(golden_bundle, train, evaluate, tmp_path):
    folder = shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    data = bytearray((folder / "model.tflite").read_bytes())
    data[-1] ^= 1
    (folder / "model.tflite").write_bytes(data)

    for command in (train, evaluate):
        complaint(command(bundle=folder), 2, "model.tflite: sha256", "export the bundle again")


def test_a_folder_that_is_no_bundle_is_refused(train, evaluate, tmp_path):
    for command in (train, evaluate):
        complaint(command(bundle=tmp_path), 2, f"{tmp_path / 'bundle.json'}: No such file")


def test_a_run_with_another_config_is_refused_naming_what_differs(train, tmp_path):
    assert train(lr=1e-6).returncode == 0
    other = write_tsv(tmp_path / "other.tsv", rows(9, seed=5))

    complaint(train(lr=0.5, seed=3), 2, "(lr 1e-06 -> 0.5, seed 0 -> 3)", "choose another --run")
    complaint(train(train=other), 2, "train_sha256")


def test_a_folder_that_holds_something_else_is_refused(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")

    complaint(train(), 2, "exists and holds no run; choose another --run")


def test_a_damaged_journal_is_refused_with_its_record(train, evaluate, tmp_path):
    assert train(steps=3).returncode == 0
    journal = tmp_path / "run" / JOURNAL
    data = bytearray(journal.read_bytes())
    data[-2 * RECORD_BYTES + 7] ^= 4
    journal.write_bytes(data)

    for done in (train(steps=3), evaluate(run=tmp_path / "run")):
        complaint(done, 2, f"{journal}: record 2 is damaged", "restore it from a copy")
    assert journal.read_bytes() == data


@pytest.fixture
def old_run(tmp_path):
    """A run's folder as it was when journals were of version 1: config.json names no optimizer."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"bundle_checksum": "b" * 64, "train_sha256": "d" * 64, "lr": 1e-6, "steps": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / JOURNAL).write_bytes(b"PLLMJRN1" + bytes(100))
    (folder / "metrics.jsonl").write_text("{}\n")
    return folder


@pytest.mark.parametrize(
    "command", ["train", "eval", "report", pytest.param("replay", marks=pytest.mark.desktop)]
)
def test_a_run_of_an_earlier_version_is_refused_alike(
    command, old_run, golden_bundle, train, evaluate, tmp_path
):
    done = {
        "train": train,
        "eval": lambda: evaluate(run=old_run),
        "replay": lambda: pocketllm(
            "replay", f"--bundle={golden_bundle.folder}", f"--run={old_run}", "--undo"
        ),
        "report": lambda: pocketllm("report", old_run, f"--out={tmp_path / 'out'}"),
    }[command]()

    complaint(done, 2, f"{old_run / JOURNAL}: a journal of version 1", "train again")


def test_a_torn_journal_is_said_and_the_run_goes_on(train, evaluate, tmp_path):
    assert train(steps=3).returncode == 0
    journal = tmp_path / "run" / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-9])

    message = f"{journal}: the last {RECORD_BYTES - 9} bytes are of a step that was not finished"
    done = evaluate(run=tmp_path / "run")
    assert done.returncode == 0 and message in done.stdout and "at step 2" in done.stdout
    done = train(steps=3)
    assert done.returncode == 0 and message in done.stdout
    assert journal.read_bytes() == whole


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"at_step": 1}, "--at_step goes with --run"),
        ({"run": "RUN", "at_step": 3}, "--at_step=3: the run holds steps 0 to 2"),
        ({"run": "RUN", "at_step": -1}, "--at_step=-1: the run holds steps 0 to 2"),
        ({"run": "nowhere"}, "nowhere/config.json: No such file"),
    ],
    ids=["no-run", "beyond", "negative", "missing"],
)
def test_a_step_that_is_not_there_is_refused(flags, message, train, evaluate, tmp_path):
    assert train().returncode == 0
    if flags.get("run") == "RUN":
        flags = flags | {"run": tmp_path / "run"}

    complaint(evaluate(**flags), 2, message)


@pytest.mark.parametrize("dev", [False, True], ids=["no-dev", "dev"])
@pytest.mark.parametrize(
    ("flags", "failed", "kept"),
    [
        ({"lr": "1e30"}, 2, 0),  # step 1 led to where no loss is finite
        ({"lr": "1e45", "weight_decay": 0.1}, 2, 0),  # and beyond float32
        ({"eps": "1e30", "lr": "1e-6"}, 1, 0),
    ],
    ids=["lr", "lr-float64", "eps"],
)
def test_a_loss_that_is_not_finite_ends_the_run_at_the_last_good_step(
    flags, failed, kept, dev, train, evaluate, dev_file, tmp_path
):
    run = tmp_path / "run"

    done = train(steps=5, run=run, **flags, **({"dev": dev_file} if dev else {}))

    complaint(done, 1, f"step {failed}: the loss is not finite", f"the run keeps step {kept}")
    evaluated = evaluate(run=run, json=tmp_path / "e.json")
    assert evaluated.returncode == 0, evaluated.stderr
    untuned = evaluate(json=tmp_path / "u.json")
    assert untuned.returncode == 0
    evaluated, start = (json.loads((tmp_path / name).read_text()) for name in ("e.json", "u.json"))
    assert evaluated["step"] == kept
    assert evaluated["loss"] == start["loss"]


def test_an_update_that_ruins_the_last_step_is_not_kept(train, evaluate, tmp_path):
    run = tmp_path / "run"

    done = train(steps=1, run=run, lr="1e30")

    complaint(done, 1, "step 1: the loss after it is not finite", "the run keeps step 0")
    assert evaluate(run=run).returncode == 0


@pytest.mark.parametrize(
    ("engine", "module", "install"),
    [
        ("litert", "ai_edge_litert.interpreter", "install ai-edge-litert"),
        ("tflite", "tflite_runtime.interpreter", "(its wheels end at Python 3.11)"),
    ],
)
def test_a_missing_engine_says_what_to_install(engine, module, install, golden_bundle, dev_file):
    done = python(
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "from pocketllm.runtime import cli\n"
        f"sys.exit(cli.main(['eval', '--bundle={golden_bundle.folder}', '--data={dev_file}', "
        f"'--engine={engine}']))"
    )

    complaint(done, 2, f"engine '{engine}' cannot be imported", install)


def test_a_command_of_the_desktop_says_so_where_its_modules_are_missing():
    done = python(
        "import sys\n"
        "sys.modules['pocketllm.export'] = None\n"
        "from pocketllm.runtime import cli\n"
        "sys.exit(cli.main(['export', '--model=x', '--task=sst2', '--out=y']))"
    )

    complaint(done, 2, "this command needs the desktop installation")
