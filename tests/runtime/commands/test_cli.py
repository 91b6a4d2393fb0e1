"""The command line: help, usage errors, and what a finished run leaves behind."""

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ENGINES
from small_runs import complaint, pocketllm, python, write_tsv

from pocketllm.android_harness import commands as device
from pocketllm.benchmarks import torture
from pocketllm.federated import commands as federate
from pocketllm.runtime.cli import COMMANDS
from pocketllm.runtime.contract import ENGINES as DISTRIBUTIONS
from pocketllm.runtime.contract import FORMAT_VERSION, JOURNAL_VERSION
from pocketllm.runtime.journal.records import APPLIED
from pocketllm.runtime.version import describe_version

pytest_plugins = ["runtime_fixtures"]

STEP_FIELDS = {
    "step", "seed", "loss_plus", "loss_minus", "projected_grad", "lr",
    "seconds", "peak_anon_bytes", "peak_rss_bytes",
}  # fmt: skip
HEAVY = (
    "tensorflow", "torch", "transformers", "matplotlib", "safetensors",
    "ai_edge_litert", "tflite_runtime",
)  # fmt: skip


@pytest.fixture(scope="session")
def trained(golden_bundle, train_file, dev_file, tmp_path_factory):
    """A finished run through the command line: (result of the process, run folder, its JSON)."""
    folder = tmp_path_factory.mktemp("cli")
    done = pocketllm(
        "train", f"--bundle={golden_bundle.folder}", f"--train={train_file}", f"--dev={dev_file}",
        f"--run={folder / 'run'}", "--steps=6", "--lr=1e-2", "--eps=1e-2", "--batch_size=5",
        "--eval_every=2", "--threads=1", f"--json={folder / 'train.json'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, folder / "run", json.loads((folder / "train.json").read_text())


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_lists_every_command(flag):
    done = pocketllm(flag)

    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name:<12}{summary}" in done.stdout


def test_the_installed_command_is_the_same():
    command = Path(sys.executable).with_name("pocketllm")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, pocketllm("--help").stdout)


GROUPS = {"device": device.COMMANDS, "torture": torture.COMMANDS, "federate": federate.COMMANDS}
ALONE = [name for name in COMMANDS if name not in GROUPS]
GROUPED = [f"{group} {name}" for group, commands in GROUPS.items() for name in commands]


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group_lists_its_commands(group):
    done = pocketllm(group, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: pocketllm {group} COMMAND [flags]\n")
    for name, (_, summary) in GROUPS[group].items():
        assert f"  {name:<12}{summary}" in done.stdout


def test_an_unknown_command_of_a_group_is_named():
    complaint(pocketllm("device", "iamge"), 2, "unknown command 'iamge'", "image")


@pytest.mark.parametrize("command", [None, *ALONE, *GROUPED])
def test_help_answers_without_loading_anything_heavy(command):
    arguments = ["--help"] if command is None else [*command.split(), "--help"]
    done = python(
        "import sys\n"
        "from pocketllm.runtime import cli\n"
        f"code = cli.main({arguments!r})\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
        "sys.exit(code)"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("HEAVY []\n")
    if command:
        assert f"usage: pocketllm {command} [flags]" in done.stdout and "--json" in done.stdout


def test_version_names_package_formats_and_engines_and_loads_none_of_them():
    heavy = (*HEAVY, "numpy")
    done = python(
        "import sys\n"
        "from pocketllm.runtime import cli\n"
        "code = cli.main(['--version'])\n"
        f"print('HEAVY', [name for name in {heavy!r} if name in sys.modules])\n"
        "sys.exit(code)"
    )
    package, formats, engines, loaded = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert package == f"pocketllm {metadata.version('pocketllm')}"
    assert formats == f"formats: bundle {FORMAT_VERSION}, journal {JOURNAL_VERSION}"
    assert APPLIED.magic.endswith(str(JOURNAL_VERSION).encode())
    for name in ENGINES:
        assert f"{name} ({DISTRIBUTIONS[name]} {metadata.version(DISTRIBUTIONS[name])})" in engines
    assert loaded == "HEAVY []"


def test_an_engine_that_is_not_there_has_no_version(monkeypatch):
    monkeypatch.setitem(DISTRIBUTIONS, "tflite", "no-such-distribution")

    assert "tflite (no-such-distribution not installed)" in describe_version()


def test_no_command_prints_the_usage_and_is_an_error():
    done = pocketllm()

    assert done.returncode == 2
    assert "usage: pocketllm COMMAND" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian', expected one of"),
        (["--bundle=x"], "unknown command '--bundle=x'"),
        (["eval", "--bundel=x"], "bundel"),
        (["eval", "file.tsv"], "unexpected argument 'file.tsv'"),
        (["eval", "--threads=many"], "threads"),
        (["eval", "--engine=onnx"], "engine"),
        (["train", "--lr=fast"], "lr"),
        (["train", "--lr_schedule=steps"], "lr_schedule"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_parsed_is_one_line_and_exit_code_2(arguments, message):
    complaint(pocketllm(*arguments), 2, message)


@pytest.mark.parametrize(
    ("command", "given", "missing"),
    [
        ("train", [], "bundle"),
        ("train", ["--bundle=b"], "train"),
        ("train", ["--bundle=b", "--train=t"], "run"),
        ("train", ["--bundle=b", "--train=t", "--run=r"], "steps"),
        ("eval", [], "bundle"),
        ("eval", ["--bundle=b"], "data"),
        ("inspect", [], "bundle"),
        ("export", ["--task=sst2", "--out=o"], "model"),
        ("export", ["--model=roberta-micro", "--out=o"], "task"),
        ("export", ["--model=roberta-micro", "--task=sst2"], "out"),
    ],
)
def test_a_missing_flag_is_named(command, given, missing):
    complaint(pocketllm(command, *given), 2, f"--{missing} is missing")


def test_training_leaves_metrics_of_exactly_the_documented_fields(trained):
    _, run, _ = trained
    lines = (run / "metrics.jsonl").read_text().splitlines()

    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    for record in records:
        assert set(record) == STEP_FIELDS
        assert 0 < record["peak_anon_bytes"] <= record["peak_rss_bytes"]
        assert 0 < record["seconds"] < 60
    assert sorted(p.name for p in run.iterdir()) == [
        ".lock", "config.json", "evaluations.jsonl", "journal", "machine.json", "metrics.jsonl",
    ]  # fmt: skip


def test_training_tells_what_it_did(trained):
    done, run, result = trained

    assert done.stderr == ""
    assert result["run"] == str(run)
    assert result["last_step"] == 6
    assert result["best_step"] in (0, 2, 4, 6)
    assert result["engine"].startswith("litert (ai-edge-litert ")
    assert "step 6: dev accuracy" in done.stdout
    assert f"{run}: 6 steps, best step {result['best_step']}" in done.stdout


def test_no_output_holds_the_interpreters_chatter(trained, golden_bundle, dev_file, tmp_path):
    log = tmp_path / "native.log"
    evaluated = pocketllm(
        "eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}",
        POCKETLLM_NATIVE_LOG=str(log),
    )  # fmt: skip

    assert "Created TensorFlow Lite" in log.read_text(), "else there is nothing to keep away"
    for done in (trained[0], evaluated):
        assert done.returncode == 0
        assert done.stderr == ""
        assert "INFO" not in done.stdout and "Created TensorFlow" not in done.stdout


@pytest.mark.parametrize("step", [0, 2, 4, 6])
def test_eval_gives_what_training_saw_at_that_step(
    step, trained, golden_bundle, dev_file, tmp_path
):
    _, run, _ = trained
    seen = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    expected = next(record for record in seen if record["step"] == step)

    done = pocketllm(
        "eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}", f"--run={run}",
        f"--at_step={step}", "--threads=1", f"--json={tmp_path / 'e.json'}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "e.json").read_text())
    for name in ("step", "accuracy", "loss", "examples"):
        assert evaluation[name] == expected[name]
    assert len({record["loss"] for record in seen}) == 4, "the steps must differ"


@pytest.mark.parametrize(("accuracy", "best"), [(1.0, 4), (-1.0, 6)], ids=["higher", "lower"])
def test_eval_takes_the_best_dev_step_unless_told(
    accuracy, best, trained, golden_bundle, dev_file, tmp_path
):
    run, out = shutil.copytree(trained[1], tmp_path / "run"), tmp_path / "new folder" / "e.json"
    dev = {"examples": 8, "data_sha256": "dev"}
    records = [{"step": step, "accuracy": 0.0, "loss": 9.0 - step} | dev for step in (0, 2, 6)]
    records.append({"step": 4, "accuracy": accuracy, "loss": 9.0} | dev)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run / "evaluations.jsonl").write_text(lines)

    done = pocketllm(
        "eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}", f"--run={run}",
        f"--json={out}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["step"] == best
    assert f"{run} at step {best}: accuracy" in done.stdout


def test_too_long_sentences_are_counted_and_no_error(golden_bundle, tmp_path):
    data = write_tsv(tmp_path / "long.tsv", [("a film", 1), ("x" * 40, 0), ("y" * 50, 1)])

    done = pocketllm(
        "eval", f"--bundle={golden_bundle.folder}", f"--data={data}",
        f"--json={tmp_path / 'e.json'}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert f"{data}: 3 examples, 2 truncated to fit" in done.stdout
    result = json.loads((tmp_path / "e.json").read_text())
    assert (result["examples"], result["truncated"], result["step"]) == (3, 2, 0)


def test_inspect_names_every_signature(golden_bundle, tmp_path):
    done = pocketllm("inspect", f"--bundle={golden_bundle.folder}", f"--json={tmp_path / 'i.json'}")

    assert (done.returncode, done.stderr) == (0, "")
    for name in (
        "forward_loss_8(",
        "forward_loss_12(",
        "perturb_and_update(",
        "perturb_and_decay(",
        "perturb_two(",
        "decay(",
    ):
        assert name in done.stdout
    assert json.loads((tmp_path / "i.json").read_text())["lengths"] == [8, 12]
