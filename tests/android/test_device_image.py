"""`pocketllm device image`: what is fetched, what is built from it, and what is refused."""

import configparser
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import phone
import pytest
from small_runs import complaint, pocketllm, python

from pocketllm.android_harness.image import contents, fetch, resolve
from pocketllm.android_harness.image.build import MAX_BYTES
from pocketllm.android_harness.image.lock import DEB, SHIPPED_LOCK, Package, read_lock, write_lock
from pocketllm.android_harness.image.unpack import read_deb, read_wheel
from pocketllm.benchmarks.bench.workers import LITERT, SGEMM
from pocketllm.runtime.errors import InputError, RunError

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


def test_the_image_holds_the_runtime_whole_and_what_the_bench_starts_there(image):
    site = image / "site" / "pocketllm"
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.py")}
    runtime = {path.relative_to(ROOT).as_posix() for path in (ROOT / "runtime").rglob("*.py")}
    code = f"import sys, {LITERT}, {SGEMM}; print(*(n for n in sys.modules if 'pocketllm.' in n))"
    imported = {name.replace(".", "/") for name in python(code).stdout.split()}

    assert "runtime/run/folder.py" in runtime <= names
    assert {name.split("/")[0] for name in names} == {"runtime", "benchmarks"}
    assert LITERT.replace(".", "/") in imported
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
        ("{}", "format None, expected 1"),
        ('{"format": 1, "packages": [{"name": "x"}]}', "damaged"),
        (
            '{"format": 1, "packages": [{"kind": "deb", "name": "x", "version": "1", '
            '"file": "../x", "sha256": "0", "url": ""}]}',
            "kind or file name",
        ),
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


def test_a_package_of_another_sha256_in_the_cache_is_named_and_never_used(tmp_path):
    package = read_lock(SHIPPED_LOCK)[0]
    (tmp_path / package.file).write_bytes(b"something else")

    with pytest.raises(InputError, match=f"{package.sha256}; remove the file"):
        fetch.fetch([package], tmp_path)


@pytest.fixture
def mirror(tmp_path):
    """A mirror on this machine that has one file: (package, its bytes, its folder)."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "x.deb").write_bytes(b"contents of x")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.sha256(b"contents of x").hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/x.deb"
    yield Package(DEB, "x", "1", "x.deb", digest, url), folder
    server.shutdown()


needs_apt = pytest.mark.skipif(not fetch.APT_HELPER.exists(), reason="no apt here")


@needs_apt
def test_a_package_is_fetched_once(mirror, tmp_path):
    package, folder = mirror
    cache = tmp_path / "cache"

    assert fetch.fetch([package], cache) == 1
    (folder / "x.deb").unlink()
    assert fetch.fetch([package], cache) == 0
    assert [path.name for path in cache.iterdir()] == ["x.deb"]


@needs_apt
@pytest.mark.parametrize("there", [b"a newer x", None], ids=["other contents", "gone"])
def test_a_mirror_that_has_moved_on_is_said_with_the_remedy(mirror, tmp_path, there):
    package, folder = mirror
    (folder / "x.deb").unlink()
    if there:
        (folder / "x.deb").write_bytes(there)

    with pytest.raises(RunError, match="if the mirror has moved on, --refresh"):
        fetch.fetch([package], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_apt_the_remedy_names_the_address_and_the_folder(mirror, tmp_path, monkeypatch):
    package, _ = mirror
    monkeypatch.setattr(fetch, "APT_HELPER", Path("/nonexistent/apt-helper"))

    with pytest.raises(InputError) as error:
        fetch.fetch([package], tmp_path / "cache")

    assert f"fetch {package.url} into {tmp_path / 'cache'} by hand" in str(error.value)


def test_refresh_reads_the_indexes_answers(monkeypatch):
    """The two clients' real output, shortened; the network's part is `--refresh` itself."""
    digest = "0" * 64
    uris = "".join(
        f"'http://deb.debian.org/debian/pool/main/x/{name}_1%2b2_arm64.deb' "
        f"{name}_1%3a1+2_arm64.deb 5 SHA256:{digest}\n"
        for name in contents.DEBIAN_PACKAGES
    )
    entry = {
        "download_info": {
            "url": "https://files.example/a%2Bb-3-py3-none-any.whl",
            "archive_info": {"hashes": {"sha256": digest}},
        },
        "metadata": {"name": "a", "version": "3"},
    }

    def answer(command, _):
        if "pip" in command:
            return json.dumps({"install": [entry]})
        return "" if command[-1] == "update" else uris

    monkeypatch.setattr(resolve, "run", answer)
    monkeypatch.setattr(resolve, "need", lambda program, _: program)
    monkeypatch.setattr(resolve, "KEYRING", ROOT / "setup.cfg")

    packages = resolve.newest_packages()

    assert len(packages) == len(contents.DEBIAN_PACKAGES) + 1
    assert (packages[0].name, packages[0].version) == ("libc6", "1:1+2")
    assert packages[0].file == "libc6_1+2_arm64.deb"
    assert packages[-1] == Package("wheel", "a", "3", "a+b-3-py3-none-any.whl", digest, "")


def test_a_lock_file_reads_back_as_it_was_written(tmp_path):
    packages = read_lock(SHIPPED_LOCK)
    write_lock(tmp_path / "lock", packages)

    assert (tmp_path / "lock").read_bytes() == SHIPPED_LOCK.read_bytes()


def test_a_debian_packages_links_become_the_files_they_point_at(tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        real = tarfile.TarInfo("./usr/lib/libx.so.1.2")
        real.size, real.mode = 4, 0o755
        archive.addfile(real, io.BytesIO(b"code"))
        link = tarfile.TarInfo("./usr/lib/libx.so.1")
        link.type, link.linkname = tarfile.SYMTYPE, "libx.so.1.2"
        archive.addfile(link)
    members = [("debian-binary", b"2.0"), ("data.tar.xz", data.getvalue())]
    path = tmp_path / "x.deb"
    path.write_bytes(b"!<arch>\n" + b"".join(_ar_member(*member) for member in members))

    assert read_deb(path) == {
        "usr/lib/libx.so.1.2": (b"code", True),
        "usr/lib/libx.so.1": (b"code", True),
    }


def _ar_member(name, data):
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"!<arch>\nshort"])
def test_what_is_no_package_is_named(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)

    with pytest.raises(InputError, match="no Debian package"):
        read_deb(path)
    with pytest.raises(InputError, match="no wheel"):
        read_wheel(path)


def test_a_wheel_is_read_whole(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("a/b.py", "1")

    assert read_wheel(tmp_path / "w.whl") == {"a/b.py": (b"1", False)}
