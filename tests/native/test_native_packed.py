"""The native program keeps a file of packed weights, and makes it again where anything differs."""

import json
import os
import shutil
from functools import partial

import pytest
from disks import limited
from native_program import files_of, flags_of, native
from small_runs import complaint

pytestmark = pytest.mark.desktop

PACKED, STAMP = "packed-weights", "packed-weights.json"
PACKS = "packing the frozen weights, once for this machine"
refused = partial(complaint, program="pocketllm-train")


@pytest.fixture
def bundle(preset, tmp_path):
    """A copy of a bundle on int8 that nobody has packed."""
    folder = shutil.copytree(preset("lora-int8"), tmp_path / "copy")
    for name in (PACKED, STAMP):
        (folder / "bundle" / name).unlink(missing_ok=True)
    return folder / "bundle"


def train(bundle, *flags):
    """Takes two steps of a new run."""
    run = bundle.parent / "run"
    shutil.rmtree(run, ignore_errors=True)
    values = {"encoded": bundle.parent / "train.rows", "run": run, "steps": 2, "lr": 1e-3}
    return native(*flags_of(bundle=bundle, batch_size=2, threads=1, **values), *flags)


def stamped(**values):
    """Returns a function that sets values of the stamp."""

    def change(bundle):
        stamp = bundle / STAMP
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | values))

    return change


def flipped(bundle):
    """Alters a byte of the file behind its head."""
    data = bytearray((bundle / PACKED).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / PACKED).write_bytes(data)


CHANGES = {
    "altered": flipped,
    "cut": lambda bundle: os.truncate(bundle / PACKED, 1000),
    "removed": lambda bundle: (bundle / PACKED).unlink(),
    "without a stamp": lambda bundle: (bundle / STAMP).unlink(),
    "a damaged stamp": lambda bundle: (bundle / STAMP).write_text("{"),
    "another model": stamped(bundle_checksum="0" * 64),
    "another library": stamped(library="ai-edge-litert 0.0"),
    "another processor": stamped(processor="another"),
    "other instructions": stamped(instructions="none"),
}


def test_packed_weights_are_made_once_and_again_where_anything_differs(bundle):
    done = train(bundle, "--nopacked_weights")
    assert done.returncode == 0, done.stderr
    expected = files_of(bundle.parent / "run")
    assert not (bundle / PACKED).exists()

    def packs(change=None):
        if change:
            change(bundle)
        done = train(bundle)
        assert done.returncode == 0, done.stderr
        assert files_of(bundle.parent / "run") == expected
        return PACKS in done.stdout

    assert packs() and not packs()
    packed = (bundle / PACKED).read_bytes()
    assert not packs(lambda bundle: os.utime(bundle / PACKED, (1, 1))), "the contents decide"
    assert json.loads((bundle / STAMP).read_text())["modified_ns"] == 10**9
    for name, change in CHANGES.items():
        assert packs(change), name
        assert (bundle / PACKED).read_bytes() == packed, name
    assert sorted(path.name for path in bundle.iterdir() if "packed" in path.name) == [
        PACKED,
        STAMP,
    ]


def test_a_folder_may_have_quotes_and_backslashes_in_its_name(bundle):
    named = bundle.rename(bundle.parent / """a "big" b\\ow's 'end' \\" """)

    assert PACKS in train(named).stdout
    kept = train(named)

    assert kept.returncode == 0 and PACKS not in kept.stdout
    assert (named / PACKED).exists() and (named / STAMP).exists()


def test_a_folder_with_a_line_break_in_its_name_is_refused_in_one_line(bundle):
    named = bundle.rename(bundle.parent / "two\nlines")

    refused(train(named), 2, "two lines: a line break in its path", "--nopacked_weights")
    assert train(named, "--nopacked_weights").returncode == 0


@pytest.mark.parametrize("share", [0.1, 0.97])
def test_a_disk_without_space_for_them_is_said_and_nothing_stays(share, bundle):
    """Below what is known to be needed, and where the library finds the end of it."""
    assert train(bundle).returncode == 0
    size = (bundle / PACKED).stat().st_size
    for name in (PACKED, STAMP):
        (bundle / name).unlink()

    with limited(int(share * size)):
        done = train(bundle)

    refused(
        done, 1, f"{bundle / PACKED}: cannot be written", "free some space", "--nopacked_weights"
    )
    assert not [path.name for path in bundle.iterdir() if "packed" in path.name]
    assert not (bundle.parent / "run").exists()
    assert train(bundle).returncode == 0
