"""machine.json: what made which steps of a run."""

import json
import platform
import shutil
from dataclasses import replace

import pytest
from small_runs import RECORD_BYTES, mezo_steps, pocketllm, run_config

from pocketllm.runtime.health.record import read_warnings
from pocketllm.runtime.host.cpu import describe_machine
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.run import sessions
from pocketllm.runtime.run.listening import SILENT, Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.sessions import read_sessions

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture(scope="module")
def trained(golden_bundle, train_data, open_ready, tmp_path_factory):
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("machine") / "run"
    config = run_config(golden_bundle, train_data, steps=3)
    train(open_ready(golden_bundle, "litert"), train_data, folder, config)
    return folder


@pytest.fixture
def go_on(trained, golden_bundle, train_data, open_ready, tmp_path):
    """Continues a copy of the run to so many steps; returns its folder."""
    folder = shutil.copytree(trained, tmp_path / "run")

    def run(steps, listener=SILENT):
        config = run_config(golden_bundle, train_data, steps=steps)
        model = open_ready(golden_bundle, "litert")
        train(model, train_data, folder, config, listener=listener)
        return folder

    return run


def test_a_run_says_what_it_ran_on(trained, golden_bundle):
    (session,) = read_sessions(trained)

    assert (session.first_step, session.task) == (1, "sst2")
    assert session.model == golden_bundle.model_name
    assert session.engine.startswith("litert (ai-edge-litert ")
    assert session.cpu and session.cores >= 1 and session.memory_bytes > 1e8
    assert session.system.startswith("Linux ") and platform.machine() in session.system
    assert session.versions["python"] == platform.python_version()
    assert {"numpy", "ai-edge-litert", "tokenizers"} <= set(session.versions)
    assert set(json.loads((trained / "machine.json").read_text())) == {"sessions"}


def test_going_on_with_the_same_machine_adds_nothing(trained, go_on):
    folder = go_on(5)

    assert read_sessions(folder) == read_sessions(trained)


def test_another_machine_is_recorded_from_its_first_step(trained, go_on, monkeypatch):
    described = describe_machine() | {"cpu": "another"}
    monkeypatch.setattr(sessions, "describe_machine", lambda: described)
    (before,) = read_sessions(trained)

    assert read_sessions(go_on(3)) == [before]  # no step left: it made none
    assert read_sessions(go_on(5)) == [before, replace(before, first_step=4, cpu="another")]


def test_what_was_announced_but_made_no_step_is_replaced(trained, go_on, monkeypatch):
    (before,) = read_sessions(trained)
    monkeypatch.setattr(sessions, "describe_machine", lambda: describe_machine() | {"cpu": "a"})
    folder = go_on(4)
    journal = folder / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-RECORD_BYTES])
    monkeypatch.undo()

    go_on(4)

    assert read_sessions(folder) == [before]


def test_a_run_from_before_there_was_a_record_gets_one_for_the_rest(go_on, trained, tmp_path):
    (tmp_path / "run" / "machine.json").unlink()

    assert [session.first_step for session in read_sessions(go_on(4))] == [4]


DAMAGED = ["", "{}", '{"sessions": ', '{"sessions": [1]}', "[" * 200_000, '{"sessions": 1}']


@pytest.mark.parametrize("name", ["machine.json", "warnings.json"])
@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_is_passed_over_by_train_and_written_anew(name, text, go_on, tmp_path):
    path, lines = tmp_path / "run" / name, []
    path.write_text(text)
    folder = go_on(4, Listener(say=lines.append))

    (line,) = lines
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 600
    assert line.endswith("; passed over, and written anew with what is known now")
    first_step = 4 if name == "machine.json" else 1
    assert [session.first_step for session in read_sessions(folder)] == [first_step]
    assert read_warnings(folder) == ()


@pytest.mark.parametrize("name", ["machine.json", "warnings.json"])
def test_a_folder_in_the_place_of_a_record_is_passed_over(name, go_on, tmp_path):
    path, lines = tmp_path / "run" / name, []
    path.unlink(missing_ok=True)
    path.mkdir()
    folder = go_on(4, Listener(say=lines.append))

    assert len(mezo_steps(folder)) == 4
    assert lines[0].startswith(f"{path}: ") and "passed over" in lines[0]
    assert lines[1].endswith(f"the run goes on without {name} until it is gone")


def test_a_damaged_record_is_one_line_of_train_and_no_failure(
    trained, golden_bundle, train_file, tmp_path
):
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / "machine.json").write_text("{}")

    done = pocketllm(
        "train", f"--bundle={golden_bundle.folder}", f"--train={train_file}", f"--run={folder}",
        "--steps=4", "--lr=1e-2", "--eps=1e-2", "--batch_size=5",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(f"{folder / 'machine.json'}: damaged") == 1
