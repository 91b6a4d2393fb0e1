"""One flipped bit, in any region of any file that a run rests on: named, and refused or made good.

Every bit of a journal is in test_journal.py.
"""

import json
import shutil

import numpy as np
import pytest
from desktop_child import in_child
from small_runs import complaint, pocketllm, run_config, state_of

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.packed_weights import open_packed
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import json_bytes, sha256_of
from pocketllm.runtime.journal.lines import Evaluated, append_evaluation, read_evaluations
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.optim.applied import apply_step
from pocketllm.runtime.run.folder import CONFIG, read_run, steps_so_far
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.snapshots import restore

pytest_plugins = ["runtime_fixtures"]

STEPS = 6
PACKED = (contract.PACKED_STAMP, contract.PACKED_FILE)


def flips(data: bytes, places):
    """Yields the bytes with one bit flipped, a different one of the eight at every place."""
    bits = np.random.default_rng(0).integers(8, size=len(places))
    for place, bit in zip(places, bits):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(bit)
        yield place, bytes(damaged)


def spread(first: int, last: int, count: int) -> list[int]:
    """Returns so many places from `first` up to `last`, both ends among them."""
    return np.unique(np.linspace(first, last - 1, count, dtype=int)).tolist()


@pytest.fixture
def bundle(golden_bundle, tmp_path):
    """A copy of the committed bundle, to damage."""
    return read_bundle(shutil.copytree(golden_bundle.folder, tmp_path / "bundle"))


@pytest.fixture
def run(golden_bundle, train_data, open_ready, monkeypatch, tmp_path):
    """A run of 6 steps with snapshots of the last two: (folder, the parameters at its end)."""
    model, folder = open_ready(golden_bundle, "litert"), tmp_path / "run"
    monkeypatch.setattr("pocketllm.runtime.run.journalled.snapshot_due", lambda *_: True)
    train(model, train_data, folder, run_config(golden_bundle, train_data))
    return folder, state_of(model)


def regions(bundle):
    """Returns {what stands there: places} of the model file."""
    tables = {v.name: (v.offset, 4 * int(np.prod(v.shape))) for v in bundle.variables}
    noise = bundle.noise
    tables["noise"] = (noise["offset"], 4 * noise["rows"] * noise["columns"])
    values = min(offset for offset, _ in tables.values())
    places = {name: spread(first, first + size, 5) for name, (first, size) in tables.items()}
    return places | {"graphs": spread(0, values, 300)}


def test_a_bit_of_the_model_file_is_found_wherever_it_is(bundle):
    data, places_of = bundle.model_path.read_bytes(), regions(bundle)
    assert len(places_of) == len(bundle.variables) + 2
    for places in places_of.values():
        for _, damaged in flips(data, places):
            bundle.model_path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"model\.tflite: sha256 .*the file was altered"):
                read_bundle(bundle.folder)


def test_a_bit_of_the_tokenizer_is_found(bundle):
    data = bundle.tokenizer_path.read_bytes()
    for _, damaged in flips(data, spread(0, len(data), 200)):
        bundle.tokenizer_path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"tokenizer\.json: sha256 .*the file was altered"):
            read_bundle(bundle.folder)


def test_a_bit_of_what_describes_the_bundle_is_found_also_where_it_still_reads_well(bundle):
    path, causes = bundle.folder / contract.MANIFEST_FILE, set()
    data = path.read_bytes()
    places = [*range(0, len(data), 16), *range(len(data) - 100, len(data))]
    for _, damaged in flips(data, places):
        path.write_bytes(damaged)
        with pytest.raises(InputError) as error:
            read_bundle(bundle.folder, verify=False)
        message = str(error.value)
        assert message.startswith(f"{path}: ") and "export the bundle again" in message
        causes.add("altered" if "altered" in message else "other")
    assert causes == {"altered", "other"}


def test_a_description_that_was_reformatted_or_lost_its_checksum_is_refused(bundle):
    path = bundle.folder / contract.MANIFEST_FILE
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="the file was altered"):
        read_bundle(bundle.folder)
    for checksum in (None, 7, "\ud800" * 64, "0" * 63):
        path.write_bytes(json.dumps(values | {"checksum": checksum}).encode())
        with pytest.raises(InputError, match="without a checksum"):
            read_bundle(bundle.folder)
    path.write_bytes(json_bytes({k: v for k, v in values.items() if k != "checksum"}))
    with pytest.raises(InputError, match="without a checksum"):
        read_bundle(bundle.folder)


def test_a_bit_of_a_snapshot_costs_time_and_nothing_else(run, golden_bundle, open_ready):
    folder, expected = run
    steps = read_run(folder, golden_bundle).applied
    model, path = open_ready(golden_bundle, "litert"), folder / f"parameters-{STEPS}.npz"
    data, passed_over = path.read_bytes(), 0
    for place, damaged in flips(data, [*range(300), *spread(300, len(data), 150)]):
        path.write_bytes(damaged)
        messages = []
        restored = restore(model, folder, STEPS, messages.append)
        assert restored == STEPS - len(messages)
        for step in steps[restored:]:
            apply_step(model, step)
        assert state_of(model) == expected, place
        passed_over += len(messages)
    assert passed_over > 300, "most of the file is what counts"


def test_a_bit_of_an_evaluation_is_refused_or_changes_nothing(tmp_path):
    for step, accuracy in ((0, 0.5), (2, 0.875), (4, 0.75)):
        append_evaluation(tmp_path, Evaluated(step, accuracy, 1 / 3, 8, "d" * 64, {"f1": 0.1}))
    path, expected = tmp_path / "evaluations.jsonl", read_evaluations(tmp_path)
    data, refused = path.read_bytes(), 0
    for place in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            lines = read_evaluations(tmp_path)
        except InputError as error:
            assert "is damaged" in str(error)
            refused += 1
        else:  # a bit of the checksum's name, or of the last line's end: it was cut short then
            assert lines in (expected, expected[:-1])
    assert refused > 0.9 * len(data) * 8


def test_a_bit_of_the_settings_is_refused_or_changes_nothing(run, golden_bundle, train_data):
    """`steps` may differ: the command says how many."""
    folder, _ = run
    config, path = run_config(golden_bundle, train_data), folder / CONFIG
    data, steps = path.read_bytes(), steps_so_far(folder, config)
    whole, harmless = read_run(folder, golden_bundle), 0
    for _, damaged in flips(data, range(len(data))):
        path.write_bytes(damaged)
        try:
            assert steps_so_far(folder, config) == steps
            harmless += 1
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
        assert read_run(folder, golden_bundle) == whole  # the journal's
    assert harmless < 10


def complete(bundle, run, train_file, dev_file, out):
    """Returns the commands that use a run."""
    common = [f"--bundle={bundle.folder}", f"--run={run}", "--threads=1"]
    return {
        "train": ["train", *common, f"--train={train_file}", f"--steps={STEPS}", "--batch_size=5",
                  "--lr=1e-2", "--eps=1e-2"],
        "eval": ["eval", *common, f"--data={dev_file}", f"--at_step={STEPS}"],
        "replay": ["replay", *common, f"--out={out}", "--force"],
    }  # fmt: skip


@pytest.mark.desktop
@pytest.mark.parametrize("command", ["train", "eval", "replay"])
def test_every_command_refuses_what_was_altered_and_passes_over_a_snapshot(
    command, bundle, run, train_file, dev_file, tmp_path
):
    folder, out = run[0], tmp_path / "out"
    arguments = complete(bundle, folder, train_file, dev_file, out)[command]
    expected = pocketllm(*arguments)
    assert (expected.returncode, expected.stderr) == (0, "")
    written = {path.name: path.read_bytes() for path in out.glob("*")}

    refused = {
        bundle.model_path: "export the bundle again",
        bundle.tokenizer_path: "export the bundle again",
        bundle.folder / contract.MANIFEST_FILE: "export the bundle again",
        folder / JOURNAL: "restore",
    }
    for path, remedy in refused.items():
        data = path.read_bytes()
        ((_, damaged),) = flips(data, [len(data) // 2])
        path.write_bytes(damaged)
        complaint(pocketllm(*arguments), 2, f"{path}: ", remedy)
        path.write_bytes(data)

    newest = folder / f"parameters-{STEPS}.npz"
    ((_, damaged),) = flips(newest.read_bytes(), [newest.stat().st_size // 2])
    newest.write_bytes(damaged)
    done = pocketllm(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{newest}: damaged" in done.stdout and "passed over" in done.stdout
    last = [
        process.stdout.splitlines()[-1].split(", peak memory")[0] for process in (done, expected)
    ]
    assert last[0] == last[1]
    assert {path.name: path.read_bytes() for path in out.glob("*")} == written


@pytest.mark.desktop
def test_a_bit_of_the_packed_weights_or_their_stamp_makes_them_again(make_checkpoint, tmp_path):
    folder = in_child("tiny.export", make_checkpoint(), tmp_path / "b", kind="lora", base="int8")
    bundle, stamp, packed = read_bundle(folder), *(folder / name for name in PACKED)
    open_packed(bundle, 1)
    size = packed.stat().st_size
    for path, count in ((packed, 10), (stamp, 12)):
        data = path.read_bytes()
        for place, damaged in flips(data, spread(0, len(data), count)):
            path.write_bytes(damaged)
            messages = []
            open_packed(bundle, 1, say=messages.append)
            assert len(messages) == 1 or path == stamp, place
            assert sha256_of(packed) == json.loads(stamp.read_bytes())["sha256"]
            assert packed.stat().st_size == size
