"""A disk that is full or read-only: one line, exit code 1, and with space again all goes on.

On a small file system where the right to mount one is there, and under a limit on file sizes.
"""

import shutil
from pathlib import Path

import pytest
from disks import limited, mount, mounted
from small_runs import complaint, pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.packing import least_packed_bytes
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.reader import JOURNAL

pytest_plugins = ["runtime_fixtures"]

PAGE, STEPS = 4096, 80


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk: (its folder, what sets its size and mode)."""
    folder = tmp_path / "disk"
    with mounted(folder, PAGE):
        yield folder, lambda size, mode="rw": mount(folder, "remount", f"size={size}", mode)


@pytest.fixture
def on_small_disk(disk):
    """Runs a command with so many bytes of space: (folder, command)."""
    folder, resize = disk

    def run(size, *arguments):
        assert resize(size)
        return pocketllm(*arguments)

    return folder, run


@pytest.fixture
def under_limit(tmp_path):
    """Runs a command that may write files of so many bytes: (folder, command)."""

    def run(size, *arguments):
        with limited(size):
            return pocketllm(*arguments)

    return tmp_path / "disk", run


@pytest.fixture
def training(golden_bundle, train_file):
    """Returns the arguments of `pocketllm train`."""

    def arguments(run, **flags):
        values = {"steps": STEPS, "lr": 1e-3, "threads": 1} | flags
        common = ["train", f"--bundle={golden_bundle.folder}", f"--train={train_file}"]
        return [*common, f"--run={run}", *(f"--{name}={value}" for name, value in values.items())]

    return arguments


# Where every page that is needed is missed once, appending to the journal fails too.
@pytest.mark.parametrize(
    ("space", "recovery_seconds", "more_bytes", "without", "met"),
    [
        ("on_small_disk", 120, PAGE, "metrics.jsonl", "journal: cannot be written: No space"),
        ("on_small_disk", 0, 8 * PAGE, "parameters-", "cannot be written: No space"),
        ("under_limit", 120, PAGE, "metrics.jsonl", "cannot be written: File too large"),
        ("under_limit", 0, 2 * PAGE, "parameters-", "cannot be written: File too large"),
    ],
)
def test_a_run_stops_where_the_disk_is_full_for_its_steps_and_goes_on_when_it_has_space(
    space, recovery_seconds, more_bytes, without, met, training, golden_bundle, dev_file, request,
    tmp_path,
):  # fmt: skip
    folder, run = request.getfixturevalue(space)
    command = training(folder / "run", recovery_seconds=recovery_seconds)
    whole = tmp_path / "whole"
    assert pocketllm(*training(whole)).returncode == 0
    size, endings, passed_over = PAGE, [], []
    while True:
        done = run(size, *command)
        lines = [line for line in done.stdout.splitlines() if "the run goes on without" in line]
        assert len(lines) == len({line.split(" the run goes")[1] for line in lines}), "said once"
        passed_over += lines
        if not done.returncode:
            break
        complaint(done, 1, "cannot be written: ", "free some space", "run the same command again")
        endings.append(done.stderr)
        size += more_bytes
        assert size < 100 * PAGE

    assert any(f"{folder}/run/{without}" in line for line in passed_over)
    assert any(met in line for line in endings)
    assert not any(without in line for line in endings), "the run does without"
    assert (folder / "run" / JOURNAL).read_bytes() == (whole / JOURNAL).read_bytes()
    assert not list((folder / "run").glob(".*partial*"))
    flags = ["eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}"]
    outputs = [pocketllm(*flags, f"--run={path}").stdout for path in (folder / "run", whole)]
    assert outputs[0].replace(str(folder / "run"), str(whole)) == outputs[1]


@pytest.mark.parametrize("pages", [2, 3, 4, 5, 6, 9])
def test_a_warning_without_space_is_said_and_ends_no_run(pages, disk, training, tmp_path):
    folder, set_disk = disk
    assert set_disk(pages * PAGE)  # config.json and the journal have a page each, and one to rename
    command = training(folder / "run", steps=30, lr=1e-12)
    done = pocketllm(*command)

    assert (done.returncode, done.stderr) == (0, "")
    without = [line for line in done.stdout.splitlines() if "the run goes on without" in line]
    assert len(without) == len(set(without))
    assert done.stdout.count("warning: ") == 1 and "most keep their bits" in done.stdout
    assert any("without warnings.json" in line for line in without) == (pages < 9)
    again = pocketllm(*command)  # writes nothing that it need not
    assert again.returncode == 0, again.stderr

    whole = tmp_path / "whole"
    assert pocketllm(*training(whole, steps=30, lr=1e-12)).returncode == 0
    assert (folder / "run" / JOURNAL).read_bytes() == (whole / JOURNAL).read_bytes()


def test_a_run_on_a_read_only_disk_can_be_read_and_goes_on_when_it_is_writable(
    disk, training, golden_bundle, dev_file
):
    folder, set_disk = disk
    set_disk(1_000_000)
    command = training(folder / "run")
    assert pocketllm(*training(folder / "run", steps=20)).returncode == 0

    assert set_disk(1_000_000, "ro")
    for refused in (command, training(folder / "new")):
        complaint(pocketllm(*refused), 1, "cannot be written: Read-only file system")
    flags = [f"--bundle={golden_bundle.folder}", f"--run={folder / 'run'}"]
    done = pocketllm("eval", *flags, f"--data={dev_file}")
    assert (done.returncode, done.stderr) == (0, "") and "at step 20" in done.stdout

    assert set_disk(1_000_000)
    assert pocketllm(*command).returncode == 0


@pytest.mark.desktop
@pytest.mark.parametrize("space", ["on_small_disk", "under_limit"])
def test_replay_leaves_nothing_on_a_full_disk_and_the_same_bytes_with_space(
    space, training, golden_bundle, request, tmp_path
):
    folder, run = request.getfixturevalue(space)
    trained = tmp_path / "run"
    assert pocketllm(*training(trained, steps=3)).returncode == 0
    flags = ["replay", f"--bundle={golden_bundle.folder}", f"--run={trained}"]
    assert pocketllm(*flags, f"--out={tmp_path / 'expected'}").returncode == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "expected").iterdir()}
    assert max(map(len, expected.values())) > 3 * PAGE

    for size in (PAGE, 3 * PAGE):  # the configuration, the weights
        done = run(size, *flags, f"--out={folder / 'out'}")
        complaint(done, 1, "out", "cannot be written: ")
        assert not folder.exists() or not list(folder.iterdir())
    done = run(1_000_000, *flags, f"--out={folder / 'out'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == expected


@pytest.mark.desktop
def test_export_leaves_nothing_on_a_full_disk_and_a_bundle_with_space(disk, make_checkpoint):
    import tiny

    folder, set_disk = disk
    assert set_disk(3_000_000)
    with pytest.raises(RunError, match="out: cannot be written: No space left.*; free some space"):
        tiny.export(make_checkpoint(), folder / "out", lengths=(8,))
    assert not list(folder.iterdir())

    assert set_disk(30_000_000)
    read_bundle(tiny.export(make_checkpoint(), folder / "out", lengths=(8,)))


@pytest.mark.desktop
@pytest.mark.parametrize("space", ["disk", "under_limit"])
def test_packing_weights_on_a_full_disk_is_one_line_and_leaves_nothing(
    space, make_checkpoint, make_bundle, dev_file, request, tmp_path
):
    bundle = make_bundle(make_checkpoint(hidden_size=64), kind="lora", base="int8")
    files = sum(path.stat().st_size + PAGE for path in bundle.folder.iterdir())
    least = least_packed_bytes(bundle)
    if space == "disk":
        folder, set_disk = request.getfixturevalue(space)
        set_disk(10 * files)
    else:
        folder, run = request.getfixturevalue(space)
    folder = Path(shutil.copytree(bundle.folder, folder / "bundle"))
    (folder / ".packed-weights.partial-1234567").write_bytes(bytes(1000))
    names = [*bundle.files, "bundle.json"]

    flags = ["eval", f"--bundle={folder}", f"--data={dev_file}"]
    for more, what in ((0, "can be written"), (least, "died of SIGABRT")):
        if space == "disk":
            occupied = sum(PAGE * -(-path.stat().st_size // PAGE) for path in folder.iterdir())
            set_disk(occupied + more)
            done = pocketllm(*flags)
        else:
            done = run(max(more, PAGE), *flags)
        complaint(done, 1, "packed-weights: cannot be written", what, "--nopacked_weights")
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    if space == "disk":
        set_disk(10 * files)
    assert pocketllm(*flags).returncode == 0
