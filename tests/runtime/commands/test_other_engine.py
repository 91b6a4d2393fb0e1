"""A run of gaussian noise that another engine does again: said in one line, and in --json."""

import json

import pytest
from small_runs import complaint, pocketllm, rows, write_tsv

pytestmark = pytest.mark.desktop
TEXT = "the engine tflite made steps of gaussian noise, which litert does again with differences"


@pytest.fixture(scope="module")
def commands(noise_bundle, tmp_path_factory):
    """Returns the flags of a bundle of a kind of noise, of its data, and of a run of tflite."""

    def make(kind):
        folder = tmp_path_factory.mktemp("run")
        bundle = f"--bundle={noise_bundle(kind).folder}"
        data = write_tsv(folder / "train.tsv", rows(14, seed=1))
        run = f"--run={folder / 'run'}"
        train = ["train", bundle, run, f"--train={data}", "--lr=1e-3", "--threads=1"]
        done = pocketllm(*train, "--steps=3", "--engine=tflite")
        assert (done.returncode, "warning" in done.stdout) == (0, False), done.stderr
        return bundle, run, data, train

    return make


def result_of(tmp_path, *arguments):
    """Runs a command that succeeds; returns (its lines with a warning, the warnings of --json)."""
    path = tmp_path / "result.json"
    done = pocketllm(*arguments, f"--json={path}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    return lines, json.loads(path.read_text())["warnings"]


def test_gaussian_noise_done_again_by_the_other_engine_is_warned_of(commands, tmp_path):
    bundle, run, data, train = commands("gaussian")
    evaluate = ["eval", bundle, run, f"--data={data}"]
    replay = ["replay", bundle, run, "--force", f"--out={tmp_path / 'out'}"]

    for command in (evaluate, replay):
        lines, warnings = result_of(tmp_path, *command, "--engine=litert")
        assert len(lines) == len(warnings) == 1
        assert lines[0] == f"warning: {warnings[0]}" and TEXT in warnings[0]
        assert result_of(tmp_path, *command, "--engine=tflite") == ([], [])
    assert result_of(tmp_path, *evaluate, "--engine=litert", "--at_step=0") == ([], [])

    lines, warnings = result_of(tmp_path, *train, "--steps=4", "--engine=litert")
    assert sum(TEXT in line for line in lines) == sum(TEXT in text for text in warnings) == 1
    complaint(pocketllm(*train, "--steps=5", "--engine=litert", "--strict"), 1, TEXT)


def test_noise_of_tables_is_the_same_in_both(commands, tmp_path):
    bundle, run, data, train = commands("golden")

    evaluate = ["eval", bundle, run, f"--data={data}", "--engine=litert"]
    assert result_of(tmp_path, *evaluate) == ([], [])
    assert result_of(tmp_path, *train, "--steps=4", "--engine=litert") == ([], [])
