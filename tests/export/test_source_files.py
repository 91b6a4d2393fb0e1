"""source.json: a checkpoint's small files travel in the bundle as they were."""

import json
import os
from dataclasses import replace

import pytest

from pocketllm.export.checkpoint import source_files
from pocketllm.export.checkpoint.source_files import (
    SMALL_FILES,
    SourceFiles,
    collect_files,
    files_of_folder,
    hub_name_of,
    read_source_files,
    source_json,
)
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop

CONFIG = b'\xef\xbb\xbf{"model_type": "opt", "id2label": {"0": "\\ud83d"}, "model_type": "opt"}\r\n'


@pytest.fixture
def folder(tmp_path):
    """A folder with every small file, and with much that is none."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for number, name in enumerate(SMALL_FILES):
        (folder / name).write_bytes(f"{name} \N{GREEK SMALL LETTER ALPHA} {number}\n".encode())
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "tokenizer.model").write_bytes(bytes(range(256)))
    for name in (b"README.md", b"model.safetensors", b"caf\xe9.txt", b"vocab.json.bak"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(b"not small")
    return folder


def bundle_of(source: SourceFiles, folder, golden_bundle):
    """Returns a bundle whose folder holds nothing but source.json."""
    folder.mkdir(exist_ok=True)
    (folder / contract.SOURCE_FILE).write_bytes(source_json(source))
    files = golden_bundle.files | {contract.SOURCE_FILE: {"bytes": 0, "sha256": ""}}
    return replace(golden_bundle, folder=folder, files=files)


def test_every_small_file_keeps_its_bytes_and_no_other_file_travels(
    folder, golden_bundle, tmp_path
):
    source = collect_files(files_of_folder(folder), "mine")

    again = read_source_files(bundle_of(source, tmp_path / "bundle", golden_bundle))

    assert again == source and (again.name, again.gguf) == ("mine", None)
    of_file = replace(source, gguf="mine.gguf")
    assert read_source_files(bundle_of(of_file, tmp_path / "file", golden_bundle)) == of_file
    assert set(again.files) == set(SMALL_FILES)
    for name, data in again.files.items():
        assert data == (folder / name).read_bytes()


def test_the_same_files_give_the_same_bytes_wherever_they_lie(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    for name in reversed(SMALL_FILES):
        (tmp_path / "cache" / name).symlink_to(folder / name)

    linked = collect_files(files_of_folder(tmp_path / "cache"), "mine")

    assert source_json(linked) == source_json(collect_files(files_of_folder(folder), "mine"))
    shuffled = SourceFiles("mine", dict(reversed(linked.files.items())))
    assert source_json(shuffled) == source_json(linked)


def test_what_is_no_file_is_not_read(folder):
    for name in ("vocab.json", "merges.txt", "vocab.txt", "spiece.model"):
        (folder / name).unlink()
    (folder / "vocab.json").mkdir()
    os.mkfifo(folder / "merges.txt")  # reading it would wait for ever
    (folder / "vocab.txt").symlink_to("vocab.txt")
    (folder / "spiece.model").symlink_to(folder / "absent")

    names = set(collect_files(files_of_folder(folder), "mine").files)

    assert names == set(SMALL_FILES) - {"vocab.json", "merges.txt", "vocab.txt", "spiece.model"}


def test_files_too_large_for_a_tokenizer_are_refused_before_they_are_read(folder, monkeypatch):
    monkeypatch.setattr(source_files, "MOST_BYTES", 1_000_000_000)
    with open(folder / "tokenizer.json", "r+b") as file:
        file.truncate(200_000_000_000)  # a hole: nobody could read it

    with pytest.raises(InputError, match=r"tokenizer\.json: 200000 MB, expected at most 1000 MB"):
        collect_files(files_of_folder(folder), "mine")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not JSON"),
        (b'{"name": "a"}', "not as `export` writes it"),
        (b'{"name": "a", "files": {}}', "not as `export` writes it"),
        (b'{"name": "a", "gguf": 1, "files": {"config.json": {"text": ""}}}', "gguf is 1"),
        (b'{"name": "a", "files": {"config.json": {"base64": "*"}}}', "not as `export` writes"),
        (b'{"name": "a", "files": {"config.json": null}}', "not as `export` writes it"),
        (
            b'{"name": "a", "files": {"config.json": {"text": ""}, "../x": {"text": ""}}}',
            r"files \.\./x",
        ),
    ],
)
def test_another_source_json_is_refused(content, problem, golden_bundle, tmp_path):
    bundle = bundle_of(SourceFiles("a", {}), tmp_path, golden_bundle)
    (tmp_path / contract.SOURCE_FILE).write_bytes(content)

    with pytest.raises(InputError, match=problem) as caught:
        read_source_files(bundle)

    assert str(tmp_path / contract.SOURCE_FILE) in str(caught.value)


def test_a_bundle_without_its_source_runs_and_only_replay_needs_it(
    make_checkpoint, make_bundle, tmp_path
):
    bundle = make_bundle(make_checkpoint(), lengths=(16,))
    copy = tmp_path / "phone"
    copy.mkdir()
    for name in set(bundle.files) - {contract.SOURCE_FILE} | {contract.MANIFEST_FILE}:
        os.link(bundle.folder / name, copy / name)

    assert read_bundle(copy).checksum == bundle.checksum
    with pytest.raises(InputError, match=r"source\.json: .*`replay` needs the bundle as exported"):
        read_source_files(read_bundle(copy))
    (copy / contract.SOURCE_FILE).write_bytes(b"{}")
    with pytest.raises(InputError, match=r"source\.json: 2 bytes, expected"):
        read_bundle(copy)


def test_a_model_of_the_hubs_cache_keeps_the_hubs_name(tmp_path):
    commit = "0123456789abcdef" * 2 + "01234567"
    cached = tmp_path / "models--facebook--opt-125m" / "snapshots" / commit

    assert hub_name_of(cached) == ("facebook/opt-125m", commit)
    assert hub_name_of(tmp_path / "opt-125m") is None


def test_the_bundle_holds_what_the_checkpoint_held(make_opt_checkpoint, make_bundle):
    checkpoint = make_opt_checkpoint()
    bundle = make_bundle(checkpoint, lengths=(16,))

    values = json.loads((bundle.folder / contract.SOURCE_FILE).read_bytes())

    expected = {path.name for path in checkpoint.iterdir()} - {"model.safetensors"}
    assert set(values["files"]) == expected
    for name, entry in values["files"].items():
        assert entry == {"text": (checkpoint / name).read_text(encoding="utf-8")}
