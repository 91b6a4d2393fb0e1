"""What dead processes left under way is removed; what a living one writes is left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host import partials
from pocketllm.runtime.host.files import path_beside, write_bytes
from pocketllm.runtime.host.folders import check_replaceable, staged
from pocketllm.runtime.host.partials import partial_path, sweep, sweep_around, under_way

LOCK = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive():
    """The id of a process that runs."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def leave(path, process):
    """Leaves a file and a folder with a file under way to a path; returns their names."""
    paths = [path.with_name(f".{path.name}{kind}{process}") for kind in (".partial-", ".replaced-")]
    paths[0].write_bytes(b"half")
    paths[1].mkdir()
    (paths[1] / "inner").write_bytes(b"half")
    return [path.name for path in paths]


def test_what_a_dead_process_left_is_removed(tmp_path, dead):
    (tmp_path / "out").mkdir()
    leave(tmp_path / "out", dead)
    sweep(tmp_path)

    assert names_in(tmp_path) == ["out"]


def test_what_this_process_id_left_in_an_earlier_life_is_removed(tmp_path):
    partial_path(tmp_path / "file").touch()  # in a container ids begin anew
    sweep(tmp_path)

    assert names_in(tmp_path) == []


def test_what_a_process_died_over_that_nobody_has_waited_for_is_removed(tmp_path):
    with subprocess.Popen(["sleep", "1000"]) as process:
        leave(tmp_path / "out", process.pid)
        process.kill()
        while b") Z" not in Path(f"/proc/{process.pid}/stat").read_bytes():
            pass
        (tmp_path / "out").mkdir()
        sweep(tmp_path)

    assert names_in(tmp_path) == ["out"]


def test_what_a_living_process_writes_is_left_alone(tmp_path, alive):
    names = leave(tmp_path / "out", alive)
    sweep(tmp_path)

    assert names_in(tmp_path) == names


def test_a_process_that_is_younger_than_the_file_did_not_write_it(tmp_path, alive, monkeypatch):
    (tmp_path / "out").mkdir()
    leave(tmp_path / "out", alive)
    monkeypatch.setattr(partials, "CLOCK_ERROR_SECONDS", -1000.0)
    sweep(tmp_path)

    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_says_that_a_writer_lives_whose_id_means_nothing_here(kind, tmp_path, dead):
    path = tmp_path / f".out.partial-{dead}"
    path.touch() if kind == "file" else path.mkdir()
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"locked\n"
        sweep(tmp_path)
        assert names_in(tmp_path) == [path.name]
        process.kill()
    sweep(tmp_path)

    assert names_in(tmp_path) == []


def test_writers_hold_the_lock_of_what_they_write(tmp_path, monkeypatch):
    monkeypatch.setattr(partials, "_under_way", set())
    with path_beside(tmp_path / "file") as beside, staged(tmp_path / "out") as folder:
        partials._under_way.clear()  # as another process sees it
        sweep(tmp_path)
        assert beside.exists() and folder.exists()

    assert names_in(tmp_path) == ["file", "out"]


def test_a_folder_whose_successor_never_came_gets_its_name_back(tmp_path, dead):
    leave(tmp_path / "out", dead)
    sweep(tmp_path)

    assert names_in(tmp_path) == ["out"] and names_in(tmp_path / "out") == ["inner"]


def test_only_names_of_what_is_written_are_removed(tmp_path, dead):
    foreign = [".partial-1", f".other.partial-{dead}", ".out.partial-x", f"out.partial-{dead}"]
    for name in (*foreign, f".out.partial-{dead}"):
        (tmp_path / name).touch()
    write_bytes(tmp_path / "out", b"")

    assert names_in(tmp_path) == sorted([*foreign, "out"])


def test_left_overs_are_no_reason_to_refuse_a_folder_and_a_living_writer_is(tmp_path, dead, alive):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.tflite").touch()
    (out / f".packed-weights.partial-{dead}").touch()
    (tmp_path / f".out.partial-{dead}").mkdir()
    check_replaceable(out, force=True)
    assert names_in(tmp_path) == ["out"] and names_in(out) == ["model.tflite"]

    (out / f".packed-weights.partial-{alive}").touch()
    message = f"process {alive} writes 'packed-weights' there; wait"
    with pytest.raises(InputError, match=message):
        check_replaceable(out, force=True)


@pytest.mark.parametrize("mark", ["bundle.json", "config.json", "thesis.tex"])
def test_a_foreign_folder_is_not_looked_into(mark, tmp_path, dead):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / mark).touch()
    (folder / f".file.partial-{dead}").touch()
    (tmp_path / f".folder.partial-{dead}").mkdir()
    sweep_around(folder)

    inside = [f".file.partial-{dead}"] if mark == "thesis.tex" else []
    assert names_in(tmp_path) == ["folder"] and names_in(folder) == [*inside, mark]


def test_the_folder_of_the_process_under_way_is_known_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = partial_path(tmp_path / "file")
    path.touch()
    with under_way(path.relative_to(tmp_path)):
        sweep_around(tmp_path / "file")
        assert path.exists()
    sweep_around(tmp_path / "file")

    assert not path.exists()
