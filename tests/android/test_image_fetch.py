"""What `pocketllm device image` fetches, from where, and what it does when that has moved on."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import phone
import pytest

from pocketllm.android_harness.commands import image as command
from pocketllm.android_harness.image import contents, fetch, resolve
from pocketllm.android_harness.image.lock import DEB, SHIPPED_LOCK, Package, read_lock, write_lock
from pocketllm.runtime.errors import InputError, RunError

pytestmark = pytest.mark.desktop  # the workstation's side


def test_a_package_of_another_sha256_in_the_cache_is_named_and_never_used(tmp_path):
    package = read_lock(SHIPPED_LOCK)[0]
    (tmp_path / package.file).write_bytes(b"something else")

    with pytest.raises(InputError, match=f"{package.sha256}; remove the file"):
        fetch.fetch([package], tmp_path)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive of one file on this machine, apt's only source: (package, its path there)."""
    folder = tmp_path / "archive"
    file = folder / "pool" / "main" / "x" / "x_1+2_arm64.deb"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"contents of x")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    (tmp_path / "sources.list").write_text(f"deb {address} bookworm main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-";\n'
        'Acquire::Retries "0";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    digest, path = hashlib.sha256(b"contents of x").hexdigest(), str(file.relative_to(folder))
    yield Package(DEB, "x", "1+2", file.name, digest, path, 13, 13), file
    server.shutdown()


def test_a_package_is_fetched_once_from_the_users_own_source(archive, tmp_path):
    phone.need_apt()
    package, file = archive
    cache = tmp_path / "cache"

    assert fetch.fetch([package], cache) == 1
    file.unlink()
    assert fetch.fetch([package], cache) == 0
    assert [path.name for path in cache.iterdir()] == ["x_1+2_arm64.deb"]


def test_what_a_killed_fetch_left_in_the_cache_is_removed_and_nothing_else(archive, tmp_path):
    package, _ = archive
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / package.file).write_bytes(b"contents of x")
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (package.file, "older_1_all.deb", "y-1.whl"):
        left = cache / f".{name}.partial-{dead.pid}"
        left.mkdir()
        (left / name).write_bytes(b"half")
    alive, others = f".{package.file}.partial-{os.getppid()}", f".notes.partial-{dead.pid}"
    for name in (alive, others):
        (cache / name).mkdir()

    assert fetch.fetch([package], cache) == 0
    assert {path.name for path in cache.iterdir()} == {package.file, alive, others}


@pytest.mark.parametrize("signal", [None, "KILL"])
def test_a_fetch_that_ends_early_leaves_what_the_next_removes(signal, tmp_path):
    script = (
        "import os, sys; from pathlib import Path\n"
        "from pocketllm.android_harness.image import fetch\n"
        "from pocketllm.android_harness.image.lock import DEB, Package\n"
        "def half(package, path):\n"
        "    path.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9) if sys.argv[1] == 'KILL' else sys.exit(1)\n"
        "fetch._fetch_deb = half\n"
        "fetch.fetch([Package(DEB, 'x', '1', 'x_1_all.deb', '0' * 64, 'x', 1, 1)], Path('cache'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(signal)], cwd=tmp_path, check=False)
    cache = tmp_path / "cache"

    assert done.returncode == (1 if signal is None else -9)
    assert len(list(cache.glob(".x_1_all.deb.partial-*"))) == (signal is not None)
    fetch.fetch([], cache)
    assert list(cache.iterdir()) == []


def test_a_security_update_is_also_looked_for_where_a_point_release_puts_it(archive, tmp_path):
    phone.need_apt()
    package, _ = archive
    before = replace(package, path=package.path.replace("pool/main", "pool/updates/main"))

    assert fetch.fetch([before], tmp_path / "cache") == 1


@pytest.mark.parametrize("there", [b"a newer thing", None], ids=["other contents", "gone"])
def test_what_the_archives_no_longer_have_is_named_and_leaves_nothing(archive, tmp_path, there):
    phone.need_apt()
    package, file = archive
    file.unlink()
    if there:
        file.write_bytes(there)

    with pytest.raises(fetch.GoneError, match="x_1.2_arm64.deb: in none of apt's archives"):
        fetch.fetch([package], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_of_another_size_is_not_even_read(tmp_path, monkeypatch):
    package = read_lock(SHIPPED_LOCK)[0]
    (tmp_path / package.file).write_bytes(b"short")
    monkeypatch.setattr(fetch, "sha256_of", lambda path: 1 / 0)

    with pytest.raises(InputError, match="size or sha256"):
        fetch.fetch([package], tmp_path)


def test_without_apt_the_remedy_names_the_place_and_the_folder(archive, tmp_path, monkeypatch):
    package, _ = archive
    monkeypatch.setattr(fetch, "APT_HELPER", Path("/nonexistent/apt-helper"))

    with pytest.raises(InputError) as error:
        fetch.fetch([package], tmp_path / "cache")

    text = f"fetch {package.path} of any Debian archive into {tmp_path / 'cache'} by hand"
    assert text in str(error.value)


@pytest.fixture
def moved_on(monkeypatch):
    """Archives that no longer have the lock file's first package, but a newer one."""
    locked = read_lock(SHIPPED_LOCK)
    newer = [replace(locked[0], version="9:9", bytes=0, unpacked=0), *locked[1:]]

    def fetched(packages, cache):
        if packages[0].version != "9:9":
            raise fetch.GoneError("libc6.deb: in none of apt's archives")
        return 1

    monkeypatch.setattr(command, "fetch", fetched)
    monkeypatch.setattr(command, "newest_packages", lambda: newer)
    monkeypatch.setattr(command, "measured", lambda packages, cache: packages)
    return locked, newer


def test_where_the_archives_have_moved_on_the_newest_are_taken_and_said(moved_on, tmp_path):
    locked, newer = moved_on

    packages, count, lines = command.fetch_for(SHIPPED_LOCK, tmp_path)

    assert (packages, count) == (newer, 1)
    assert lines[0].startswith("the archives have moved on, the newest packages are taken instead")
    assert lines[1:] == [f"libc6 9:9, not {locked[0].version}"]


def test_a_lock_file_of_ones_own_is_built_from_or_not_at_all(moved_on, tmp_path):
    write_lock(tmp_path / "lock", moved_on[0])

    with pytest.raises(RunError, match="--refresh takes the newest packages"):
        command.fetch_for(tmp_path / "lock", tmp_path)


def test_the_tests_say_it_too_where_they_run_from_other_packages(moved_on):
    with pytest.warns(UserWarning, match="not the shipped lock file: .*libc6 9:9"):
        assert phone.packages.__wrapped__() == moved_on[1]


def test_refresh_reads_the_indexes_answers(monkeypatch):
    """The two clients' real output, shortened; the network's part is `--refresh` itself."""
    digest = "0" * 64
    uris = "".join(
        f"'http://archive.test/debian/pool/main/x/{name}_1%2b2_arm64.deb' "
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
    commands = []

    def answer(command, _):
        commands.append(command)
        return json.dumps({"install": [entry]})

    monkeypatch.setattr(resolve, "run", answer)
    monkeypatch.setattr(resolve, "newest_addresses", lambda *_: uris)

    packages = resolve.newest_packages()

    assert len(packages) == len(contents.DEBIAN_PACKAGES) + 1
    assert (packages[0].name, packages[0].version) == ("libc6", "1:1+2")
    assert packages[0].file == "libc6_1+2_arm64.deb"
    assert packages[0].path == "pool/main/x/libc6_1+2_arm64.deb" and packages[0].bytes == 5
    assert packages[-1] == Package("wheel", "a", "3", "a+b-3-py3-none-any.whl", digest, "")
    assert f"ai-edge-litert=={metadata.version('ai-edge-litert')}" in commands[0]


def test_an_index_without_debian_12_is_said(monkeypatch):
    monkeypatch.setattr(resolve, "newest_addresses", lambda *_: "")

    with pytest.raises(RunError, match="no Debian 12 for arm64.*libc6"):
        resolve.newest_packages()
