"""A run belongs to one whole bundle: the model file's bytes alone are not its identity."""

import shutil

import pytest
from small_runs import adam_config, complaint, pocketllm, run_config

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json, sha256_of, write_json
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.folder import CONFIG, read_run, start_or_continue, steps_so_far
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.snapshots import restore

pytest_plugins = ["runtime_fixtures"]


def change_prompt(values, folder):
    values["task"]["pieces"][1]["text"] = " So it was"


def change_label_words(values, folder):
    values["task"]["labels"].reverse()


def change_limit(values, folder):
    values["max_tokens"] -= 1


def change_tokenizer(values, folder):
    path = folder / contract.TOKENIZER_FILE
    path.write_bytes(path.read_bytes() + b"\n")
    values["files"][path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


CHANGES = [change_prompt, change_label_words, change_limit, change_tokenizer]


@pytest.fixture
def another(golden_bundle, tmp_path):
    """Copies the committed bundle and changes it: the same model file, another bundle."""

    def make(change=change_prompt):
        folder = shutil.copytree(golden_bundle.folder, tmp_path / "another")
        values = read_json(folder / contract.MANIFEST_FILE, "")
        change(values, folder)
        write_with_checksum(folder / contract.MANIFEST_FILE, values)
        bundle = read_bundle(folder)
        model = contract.MODEL_FILE
        assert bundle.files[model] == golden_bundle.files[model]
        return bundle

    return make


@pytest.fixture
def run(golden_bundle, train_data, open_ready, monkeypatch, tmp_path):
    """A run of the committed bundle with a snapshot after every step."""
    monkeypatch.setattr("pocketllm.runtime.run.journalled.snapshot_due", lambda *_: True)
    folder = tmp_path / "run"
    config = run_config(golden_bundle, train_data, steps=3)
    train(open_ready(golden_bundle, "litert"), train_data, folder, config)
    return folder


def both(trained, given):
    """Returns the pattern of a line that names two bundles."""
    return (
        f"^.*belongs to bundle {trained.checksum[:12]}….* this one is {given.checksum[:12]}…[^\n]*$"
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_is_neither_read_nor_continued_with_another_bundle(
    change, run, another, golden_bundle, train_data
):
    bundle = another(change)
    names = both(golden_bundle, bundle)

    with pytest.raises(InputError, match=names):
        read_run(run, bundle)
    with pytest.raises(InputError, match=names):
        start_or_continue(run, run_config(bundle, train_data, steps=3))
    assert len(read_run(run, golden_bundle).applied) == 3


def test_the_journal_names_the_bundle_whatever_the_settings_beside_it_say(
    run, another, golden_bundle, train_data
):
    bundle = another()
    settings = read_json(run / CONFIG, "") | {"bundle_checksum": bundle.checksum}
    write_json(run / CONFIG, settings)

    with pytest.raises(InputError, match=both(golden_bundle, bundle)):
        read_run(run, bundle)
    with pytest.raises(InputError, match=r"journal: belongs to another run.*bundle_checksum"):
        steps_so_far(run, run_config(bundle, train_data, steps=3))


def test_a_kept_run_belongs_to_its_bundle_too(another, golden_bundle, train_data, tmp_path):
    bundle, folder = another(), tmp_path / "adam"
    start_or_continue(folder, adam_config(golden_bundle, train_data))

    with pytest.raises(InputError, match=both(golden_bundle, bundle)):
        read_run(folder, bundle)
    with pytest.raises(InputError, match=both(golden_bundle, bundle)):
        start_or_continue(folder, adam_config(bundle, train_data))


def test_a_snapshot_of_another_bundles_run_is_passed_over(
    run, another, train_data, open_ready, tmp_path
):
    bundle, folder, messages = another(), tmp_path / "again", []
    train(open_ready(bundle, "litert"), train_data, folder, run_config(bundle, train_data, steps=3))
    ours, theirs = (read_journal(side / JOURNAL).steps for side in (folder, run))
    assert ours == theirs, "the same steps: only the bundle differs"
    for path in folder.glob("parameters-*.npz"):
        shutil.copy(run / path.name, path)

    assert restore(open_ready(bundle, "litert"), folder, 3, messages.append) == 0
    assert len(messages) == 2 and all("of another run" in line for line in messages)


@pytest.mark.desktop
@pytest.mark.parametrize("command", ["train", "eval", "replay"])
def test_every_command_that_opens_a_run_refuses_another_bundle_in_one_line(
    command, run, another, golden_bundle, train_file, tmp_path
):
    bundle = another()
    flags = {
        "train": (f"--train={train_file}", "--steps=4", "--batch_size=5", "--lr=1e-2"),
        "eval": (f"--data={train_file}",),
        "replay": (f"--out={tmp_path / 'out'}",),
    }[command]

    done = pocketllm(command, f"--bundle={bundle.folder}", f"--run={run}", *flags)

    complaint(done, 2, golden_bundle.checksum[:12], bundle.checksum[:12], "trained from")
    assert not (tmp_path / "out").exists()


def test_a_run_of_an_earlier_version_says_so(run, golden_bundle, train_data):
    settings = read_json(run / CONFIG, "")
    settings["bundle_sha256"] = settings.pop("bundle_checksum")
    write_json(run / CONFIG, settings)

    with pytest.raises(InputError, match=r"config\.json: a run of an earlier version.*train again"):
        steps_so_far(run, run_config(golden_bundle, train_data, steps=3))
