"""`pocketllm export` from outside: exit codes, one line on stderr, whole bundles or none."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pocketllm.runtime.bundle.manifest import read_bundle

pytestmark = pytest.mark.desktop

ROBERTA_TOKENIZER = Path(__file__).resolve().parents[2] / "tflite_models/roberta_tokenizer"
ALL_FILES = {"model.tflite", "bundle.json", "tokenizer.json", "source.json"}
TEXT = ("--task=text", "--prompt={text} It was{mask}.")
SMALL = ("--task=sst2", "--lengths=8", "--batch_size=2")


def export(*arguments, most_bytes=None):
    """Runs `pocketllm export`; `most_bytes` is the size at which every file is full."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(
        [sys.executable, "-m", "pocketllm.runtime.cli", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=limit if most_bytes else None,
    )


def stderr_of(done):
    """Returns the lines on stderr, without the progress that a slow machine is shown."""
    return [line for line in done.stderr.splitlines() if not line.startswith("writing: ")]


def assert_fails(done, code, *problems):
    """Checks the exit code and that stderr is one line that names the problems."""
    assert done.returncode == code, done.stderr
    lines = stderr_of(done)
    assert len(lines) == 1 and lines[0].startswith("pocketllm export: error: "), done.stderr
    for problem in problems:
        assert problem in lines[0]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def old_bundle(tmp_path):
    """A folder that is there already."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "bundle.json").write_text("kept")
    return folder


def test_an_export_writes_a_bundle_and_says_what_it_did(make_checkpoint, tmp_path):
    out, report = tmp_path / "new" / "bundle", tmp_path / "report.json"
    places = f"--model={make_checkpoint()}", f"--out={out}", f"--json={report}"
    done = export(*places, *SMALL, "--noise=gaussian")

    assert (done.returncode, stderr_of(done)) == (0, [])
    bundle, result = read_bundle(out), json.loads(report.read_text())
    parameters = sum(v.shape[0] * v.shape[1] if len(v.shape) == 2 else 0 for v in bundle.parameters)
    parameters += sum(p.shape[0] for p in bundle.parameters if len(p.shape) == 1)
    assert result["bundle"] == str(out) and result["parameters"] == parameters
    assert result["tied_decoder"] is True
    assert result["model_bytes"] == (out / "model.tflite").stat().st_size
    assert (bundle.batch_size, bundle.lengths, bundle.noise) == (2, (8,), {"kind": "gaussian"})
    assert {path.name for path in out.iterdir()} == ALL_FILES
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    assert f"{out}: 0.0 M parameters" in done.stdout


def test_an_out_that_exists_is_refused_at_once_and_kept(make_checkpoint, old_bundle):
    done = export(f"--model={make_checkpoint()}", f"--out={old_bundle}", *SMALL)
    assert_fails(done, 2, str(old_bundle), "exists already", "--force")
    assert [path.name for path in old_bundle.iterdir()] == ["bundle.json"]


def test_force_replaces_what_is_there(make_checkpoint, old_bundle):
    done = export(f"--model={make_checkpoint()}", f"--out={old_bundle}", *SMALL, "--force")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in old_bundle.iterdir()} == ALL_FILES
    assert [path.name for path in old_bundle.parent.iterdir()] == ["out"]


def test_force_never_replaces_a_folder_that_holds_more_than_a_bundle(make_checkpoint, old_bundle):
    (old_bundle / "notes.txt").write_text("mine")
    done = export(f"--model={make_checkpoint()}", f"--out={old_bundle}", *SMALL, "--force")
    assert_fails(done, 2, "holds 'notes.txt', which is no part of a bundle")
    assert (old_bundle / "notes.txt").read_text() == "mine"


def test_a_tokenizer_with_more_ids_than_the_model_has_tokens_is_refused(make_checkpoint, tmp_path):
    checkpoint = shutil.copytree(make_checkpoint(), tmp_path / "checkpoint")
    (checkpoint / "tokenizer.json").unlink(missing_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(ROBERTA_TOKENIZER / name, checkpoint / name)
    done = export(f"--model={checkpoint}", f"--out={tmp_path / 'out'}", *SMALL)
    assert_fails(done, 2, "the tokenizer's ids go up to 50264, the model has")
    assert not (tmp_path / "out").exists()


def test_a_terminated_export_leaves_nothing_behind(make_checkpoint, tmp_path):
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "export", *SMALL]
    command += [f"--model={make_checkpoint()}", f"--out={tmp_path / 'out'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"converting" in process.stdout.readline()
        process.terminate()
        process.communicate()
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


# A limit on file sizes fails a write as a full disk does: the converter's temporary files, the
# table of the noise, and a weight at the end of the file.
@pytest.mark.parametrize(
    "most_bytes, problem",
    [
        (50_000, "the converter cannot write its temporary files there; free some space"),
        (3_000_000, "out: cannot be written: File too large"),
        (4_390_000, "out: cannot be written: File too large"),
    ],
)
def test_a_full_disk_leaves_nothing_behind_and_the_old_bundle_whole(
    most_bytes, problem, make_checkpoint, old_bundle
):
    done = export(
        f"--model={make_checkpoint()}",
        f"--out={old_bundle}",
        *SMALL,
        "--force",
        most_bytes=most_bytes,
    )
    assert_fails(done, 1, problem)
    assert [path.name for path in old_bundle.parent.iterdir()] == ["out"]
    assert (old_bundle / "bundle.json").read_text() == "kept"


def test_a_parent_that_cannot_be_written_fails(make_checkpoint, tmp_path):
    (tmp_path / "file").write_text("kept")
    out = tmp_path / "file" / "bundle"
    done = export(f"--model={make_checkpoint()}", f"--out={out}", *SMALL)
    assert_fails(done, 1, f"{out}: cannot be written: Not a directory")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_nobody_can_write_to_fails(make_checkpoint):
    done = export(f"--model={make_checkpoint()}", "--out=/proc/bundle", *SMALL)  # root neither
    assert_fails(done, 1, "/proc/bundle: cannot be written: ")


# Found out before TensorFlow loads.
@pytest.mark.parametrize(
    "arguments, problems",
    [
        (
            ["--model=M", "--out=O", "--task=sst3"],
            ["--task=sst3: unknown for roberta models", "sst2, sst5"],
        ),
        (["--out=O", "--task=sst2"], ["--model is missing"]),
        (["--model=M", "--out=O"], ["--task is missing"]),
        (["--model=M", "--task=sst2"], ["--out is missing"]),
        (["--model=M", "--out=O", *SMALL, "--fast"], ["fast", "pocketllm export --help"]),
        (["--model=M", "--out=O", *SMALL, "more"], ["unexpected argument 'more'"]),
        (["--model=M", "--out=O", *SMALL, "--batch_size=many"], ["batch_size", "many"]),
        (["--model=M", "--out=O", *SMALL, "--noise=white"], ["noise", "white", "codebook"]),
        (["--model=M", "--out=O", "--task=text"], ["--prompt and --label_words"]),
        (["--model=M", "--out=O", *SMALL, "--prompt={text}{mask}"], ["go with --task=text"]),
        (["--model=M", "--out=O", *TEXT, "--label_words=0:bad"], ["at least 2"]),
    ],
)
def test_bad_flags_are_named(arguments, problems, make_checkpoint, tmp_path):
    places = {"M": make_checkpoint(), "O": tmp_path / "out"}
    done = export(
        *(
            f"{flag}={places[value]}" if value in places else argument
            for argument in arguments
            for flag, _, value in [argument.partition("=")]
        )
    )
    assert_fails(done, 2, *problems)
    assert list(tmp_path.iterdir()) == []


# Found out once the checkpoint is known.
@pytest.mark.parametrize(
    "arguments, problems",
    [
        (["--task=sst2", "--lengths=8,many"], ["--lengths=8,many: expected whole numbers"]),
        (["--task=sst2", "--lengths=7,16"], ["--lengths=7,16: expected lengths of 8 or more"]),
        (
            ["--task=sst2", "--lengths=8,39"],
            ["found 39 tokens, expected at most 38: ", "config.json of tiny"],
        ),
        (["--task=sst2", "--lengths=8", "--batch_size=0"], ["--batch_size=0: expected at least 1"]),
        (
            [*TEXT, "--label_words=0:terrible,1:enormous", "--lengths=8"],
            ["label word ' enormous' of label '1'", "expected exactly one known token"],
        ),
    ],
)
def test_settings_the_model_cannot_have_are_named(arguments, problems, make_checkpoint, tmp_path):
    done = export(f"--model={make_checkpoint()}", f"--out={tmp_path / 'out'}", *arguments)
    assert_fails(done, 2, *problems)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, problems",
    [
        (
            ["--model=nowhere"],
            ["--model=nowhere: neither a folder, a GGUF file nor a preset (roberta"],
        ),
        (["--model=roberta-large"], ["no weights come with this preset", "--random_init"]),
        (["--model=.", "--random_init"], ["--random_init goes with a preset"]),
    ],
)
def test_a_model_that_cannot_be_had_is_named(arguments, problems, tmp_path):
    done = export(*arguments, f"--out={tmp_path / 'out'}", *SMALL)
    assert_fails(done, 2, *problems)
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_flag_and_loads_no_tensorflow():
    code = (
        "import sys; from pocketllm.runtime.cli import main; code = main(['export', '--help']);"
        "assert 'tensorflow' not in sys.modules and 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("model", "task", "out", "lengths", "noise", "batch_size", "force", "json"):
        assert f"--{flag}  " in done.stdout
