"""`pocketllm device image`: what is fetched, what is built from it, and what is refused."""

import configparser
import hashlib
import json
from pathlib import Path

import phone
import pytest
from small_runs import complaint, pocketllm, python

from pocketllm.android_harness.image import contents
from pocketllm.android_harness.image.build import MAX_BYTES
from pocketllm.android_harness.image.lock import SHIPPED_LOCK, read_lock, write_lock
from pocketllm.android_harness.image.modules import command_module
from pocketllm.benchmarks.bench.workers import LITERT, SGEMM

pytestmark = pytest.mark.desktop  # the workstation's side
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The device image of the shipped lock file."""
    return phone.make_image(tmp_path_factory.mktemp("device") / "image")


def contents_of(folder):
    """Returns {path: (mode, modification time, sha256 or None for a folder)}."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        entries[str(path.relative_to(folder))] = status.st_mode, status.st_mtime_ns, digest
    return entries


def test_two_builds_are_the_same_to_the_mode_and_the_time(image, tmp_path):
    again = phone.make_image(tmp_path / "again")

    assert contents_of(again) == contents_of(image)


def test_the_image_is_small_and_holds_no_tests_documentation_gpu_or_links(image):
    paths = [path for path in image.rglob("*") if path.is_file()]

    assert 80e6 < sum(path.stat().st_size for path in paths) <= MAX_BYTES == 150e6
    assert not [path for path in image.rglob("*") if path.is_symlink()]
    for word in ("/tests/", "/test/", "/doc/", "/man/", "WebGpu", "__pycache__", "/include/"):
        assert not [path for path in paths if word in f"/{path.relative_to(image)}"], word


def test_the_image_holds_the_runtime_whole_and_what_is_started_there_beside_it(image):
    site = image / "site" / "pocketllm"
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.py")}
    runtime = {path.relative_to(ROOT).as_posix() for path in (ROOT / "runtime").rglob("*.py")}
    started = ", ".join((LITERT, SGEMM, command_module("federate", "answer")))
    code = f"import sys, {started}; print(*(n for n in sys.modules if 'pocketllm.' in n))"
    imported = {name.replace(".", "/") for name in python(code).stdout.split()}

    assert "runtime/run/folder.py" in runtime <= names
    assert {name.split("/")[0] for name in names} == {"runtime", "benchmarks", "federated"}
    assert not [name for name in names if name.startswith("federated/flower")]
    assert {LITERT.replace(".", "/"), "pocketllm/federated/answering"} <= imported
    for name in imported:
        module = name.removeprefix("pocketllm/")
        assert {f"{module}.py", f"{module}/__init__.py"} & names, module


def test_the_images_lock_file_is_the_one_it_was_built_from(image):
    assert read_lock(image / "image.lock.json") == phone.packages()


def test_the_image_holds_what_setup_cfg_says_the_runtime_needs_but_one_engine():
    parser = configparser.ConfigParser(inline_comment_prefixes="#")
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].strip().splitlines()
    here = {line.split(";")[0].strip() for line in lines if '>= "3.12"' not in line}

    assert set(contents.REQUIREMENTS) == {x for x in here if not x.startswith("tflite-runtime")}


def test_the_command_builds_the_image_and_refuses_to_overwrite_it(image, tmp_path):
    out = tmp_path / "my image"

    command = ["device", "image", f"--out={out}", f"--lock={image / 'image.lock.json'}"]

    first = pocketllm(*command, f"--json={tmp_path / 'j'}")
    again = pocketllm(*command)
    forced = pocketllm(*command, "--force")

    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads((tmp_path / "j").read_text())["fetched"] == 0
    complaint(again, 2, f"{out}: exists already", "--force")
    assert forced.returncode == 0
    assert contents_of(out) == contents_of(image)


def test_force_never_replaces_another_folder(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")

    done = pocketllm("device", "image", f"--out={tmp_path / 'letters'}", "--force")

    complaint(done, 2, "'one.txt'", "no part of a device image")
    assert (tmp_path / "letters" / "one.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("{}", "format None, expected 2"),
        ('{"format": 2, "packages": [{"name": "x"}]}', "damaged"),
    ],
)
def test_a_broken_lock_file_is_one_line(tmp_path, text, problem):
    (tmp_path / "lock").write_text(text)

    done = pocketllm("device", "image", f"--out={tmp_path / 'o'}", f"--lock={tmp_path / 'lock'}")

    complaint(done, 2, str(tmp_path / "lock"), problem, "--refresh")
    assert not (tmp_path / "o").exists()


def test_lock_and_refresh_exclude_each_other(tmp_path):
    done = pocketllm("device", "image", f"--out={tmp_path / 'o'}", "--lock=x", "--refresh")

    complaint(done, 2, "--lock", "--refresh")


def test_a_lock_file_reads_back_as_it_was_written(tmp_path):
    packages = read_lock(SHIPPED_LOCK)
    write_lock(tmp_path / "lock", packages)

    assert (tmp_path / "lock").read_bytes() == SHIPPED_LOCK.read_bytes()
