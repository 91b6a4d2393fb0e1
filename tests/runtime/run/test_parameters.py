"""Parameters kept beside a run: the same bits back, and no damaged file taken for good."""

import errno
import os
import zipfile

import numpy as np
import pytest
from small_runs import python, state_of

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import files
from pocketllm.runtime.run.parameters import (
    check_kept,
    drop_parameters,
    kept_steps,
    load_parameters,
    save_parameters,
)


@pytest.fixture
def moved(golden_bundle, open_ready):
    """A model whose every variable has left its initial values."""
    model = open_ready(golden_bundle, "litert")
    model.perturb(1, 0.5)
    return model


@pytest.fixture
def other(golden_bundle, open_ready):
    """A model at its initial values."""
    return open_ready(golden_bundle, "litert")


def refusal(model, folder, step=4):
    with pytest.raises(InputError) as error:
        load_parameters(model, folder, step)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_saved_comes_back_bit_for_bit(golden_bundle, engine, open_ready, tmp_path):
    model, again = (open_ready(golden_bundle, engine) for _ in range(2))
    model.perturb(1, 0.5)
    assert state_of(model) != state_of(again)

    save_parameters(model, tmp_path, 4)
    load_parameters(again, tmp_path, 4)

    assert state_of(again) == state_of(model)
    assert [path.name for path in tmp_path.iterdir()] == ["parameters-4.npz"]


def test_the_file_is_what_numpy_reads(moved, tmp_path):
    save_parameters(moved, tmp_path, 4)

    with np.load(tmp_path / "parameters-4.npz", allow_pickle=False) as archive:
        assert {name: archive[name].tobytes() for name in archive.files} == state_of(moved)
        for variable in moved.bundle.variables:
            assert (archive[variable.name].dtype, archive[variable.name].shape) == (
                np.float32,
                variable.shape,
            )


def test_the_steps_kept_are_listed_checked_and_dropped(moved, tmp_path):
    for step in (12, 4, 9):
        save_parameters(moved, tmp_path, step, checksum=step)
    (tmp_path / "parameters-best.npz").touch()  # somebody else's
    assert kept_steps(tmp_path) == [4, 9, 12]

    drop_parameters(tmp_path, but={9, 12, 30})

    assert kept_steps(tmp_path) == [9, 12]
    for step in (0, 9, 12):
        check_kept(tmp_path, step, checksum=step)
    with pytest.raises(InputError, match=r"step 4 were not kept.*--at_step takes 0, 9, 12, or tra"):
        check_kept(tmp_path, 4, checksum=4)
    with pytest.raises(InputError, match=r"parameters-9.npz: of another run than the journal"):
        check_kept(tmp_path, 9, checksum=8)


@pytest.mark.parametrize("length", [0, 1, 100, -1], ids=str)
def test_a_file_that_was_cut_is_refused_and_nothing_of_it_taken(length, moved, other, tmp_path):
    save_parameters(moved, tmp_path, 4)
    path, before = tmp_path / "parameters-4.npz", state_of(other)
    path.write_bytes(path.read_bytes()[:length])

    assert f"{path}: damaged (" in refusal(other, tmp_path)
    assert state_of(other) == before


def test_no_altered_byte_goes_unnoticed(moved, other, tmp_path):
    """Either the file is refused, or what was altered is nothing that was loaded."""
    save_parameters(moved, tmp_path, 4)
    path, expected = tmp_path / "parameters-4.npz", state_of(moved)
    data = path.read_bytes()
    places = [*range(0, 250, 3), *range(0, len(data), len(data) // 150), *range(-300, 0, 3)]
    refused = 0
    for place in places:
        altered = bytearray(data)
        altered[place] ^= 0xFF
        path.write_bytes(altered)
        try:
            load_parameters(other, tmp_path, 4)
            assert state_of(other) == expected, place
        except InputError as error:
            assert "damaged" in str(error)
            refused += 1

    assert refused > len(places) / 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda values, name: values.pop(name), "variables, expected"),
        (lambda values, name: values.update(more=values[name]), "variables, expected"),
        (lambda values, name: values.update({name: values[name][:-1]}), "'shape': ("),
        (lambda values, name: values.update({name: values[name].astype(float)}), "'<f8'"),
        (lambda values, name: values.update({name: np.array([{}])}), "'|O'"),
    ],
    ids=["missing", "one-more", "shape", "dtype", "pickle"],
)
def test_another_models_parameters_are_refused(change, complaint, moved, other, tmp_path):
    values = dict(moved.read())
    change(values, moved.bundle.variables[0].name)
    np.savez(tmp_path / "parameters-4.npz", **values)

    message = refusal(other, tmp_path)

    assert str(tmp_path / "parameters-4.npz") in message and complaint in message


@pytest.mark.parametrize("kind", ["array", "zip"])
def test_another_kind_of_file_is_refused(kind, other, tmp_path):
    path = tmp_path / "parameters-4.npz"
    with open(path, "wb") as file:
        if kind == "array":
            np.save(file, np.zeros(3))
        else:
            with zipfile.ZipFile(file, "w") as archive:
                for variable in other.bundle.variables:
                    archive.writestr(f"{variable.name}.npy", b"no array")

    assert f"{path}: damaged (" in refusal(other, tmp_path)


def test_a_missing_file_names_those_that_are_there(moved, other, tmp_path):
    save_parameters(moved, tmp_path, 9)

    assert refusal(other, tmp_path).endswith("No such file or directory; --at_step takes 0, 9")


EVERY_LINE = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from pocketllm.runtime.host import signals
from pocketllm.runtime.run.parameters import save_parameters

model = SimpleNamespace(read=lambda: ((f"a/{{i}}", np.ones((5, 6))) for i in range(3)))
folder, complaints = Path({folder!r}), []
sys.unraisablehook = lambda held: complaints.append(repr(held.exc_value))
interrupted, line, reached = 0, 0, True
while reached:
    line, seen, reached = line + 1, 0, False
    signals.install()

    def trace(frame, event, _):
        global seen, reached
        if Path(frame.f_code.co_filename).stem not in ("zipfile", "__init__", "parameters"):
            return None
        seen += event == "line"
        if seen == line and not reached:
            reached = True
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        save_parameters(model, folder, 4)
    except KeyboardInterrupt:
        interrupted += 1
    sys.settrace(None)
    partial = [name for name in os.listdir(folder) if "partial" in name]
    assert not partial and not complaints, (line, partial, complaints)
print(interrupted, line)
"""


def test_a_signal_at_any_line_of_a_save_is_only_an_interrupt(tmp_path):
    done = python(EVERY_LINE.format(folder=str(tmp_path)))

    assert (done.returncode, done.stderr) == (0, "")
    interrupted, lines = map(int, done.stdout.split())
    assert interrupted == lines - 1 > 300


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), RunError), (KeyboardInterrupt(), None)],
    ids=["full-disk", "interrupt"],
)
def test_a_write_that_fails_leaves_what_was_there(fault, raised, moved, tmp_path, monkeypatch):
    save_parameters(moved, tmp_path, 4)
    before = (tmp_path / "parameters-4.npz").read_bytes()

    def fail(_):
        raise fault

    monkeypatch.setattr(files.os, "fsync", fail)
    moved.perturb(2, 0.5)
    with pytest.raises(raised or type(fault)) as error:
        save_parameters(moved, tmp_path, 4)
    monkeypatch.undo()

    if raised:
        assert "parameters-4.npz: cannot be written: No space left" in str(error.value)
    assert os.listdir(tmp_path) == ["parameters-4.npz"]
    assert (tmp_path / "parameters-4.npz").read_bytes() == before
