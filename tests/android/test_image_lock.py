"""Lock files of strangers: what becomes part of a command or an address is what a package has."""

from dataclasses import replace

import pytest
from sound_packages import SOUND

from pocketllm.android_harness.image import contents
from pocketllm.android_harness.image.lock import (
    DEB,
    MOST_BYTES,
    MOST_UNPACKED,
    SHIPPED_LOCK,
    WHEEL,
    read_lock,
    write_lock,
)
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop  # the workstation's side


@pytest.mark.parametrize("kind", [DEB, WHEEL])
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("kind", ["", "zip", "deb\n"]),
        ("name", ["-oDir::Bin=/tmp/x", "--index-url=x", "", "a b", "a;b", "a\n", "../a", "a/b"]),
        ("version", ["-1", "1;x", "1 || x", "", "1\n", "*", "1 --hash=x", "$(id)"]),
        ("file", ["../x.deb", "/tmp/x.whl", "-x.deb", "x.deb\n", "x", "a/b.whl", ".partial.whl"]),
        ("sha256", ["", "0", "g" * 64, "0" * 65, "A" * 64]),
        ("path", ["/etc/passwd", "pool/../x.deb", "http://h/x.deb", "pool//x.deb", "-x",
                  "pool/-x.deb", "pool/x.deb?y", "pool/./x.deb", "pool/.x.deb"]),
        ("bytes", [0, -1, MOST_BYTES + 1]),
        ("unpacked", [0, -1, MOST_UNPACKED + 1]),
    ],
)  # fmt: skip
def test_what_would_be_an_argument_or_another_place_is_refused(tmp_path, kind, field, values):
    for value in values:
        write_lock(tmp_path / "lock", [replace(SOUND[kind], **{field: value})])
        with pytest.raises(InputError, match="lock: damaged .*--refresh") as error:
            read_lock(tmp_path / "lock")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [DEB, WHEEL])
def test_a_sound_package_is_read_and_not_twice(tmp_path, kind):
    write_lock(tmp_path / "lock", [SOUND[kind]])
    assert read_lock(tmp_path / "lock") == [SOUND[kind]]

    write_lock(tmp_path / "lock", [SOUND[kind], SOUND[kind]])
    with pytest.raises(InputError, match="twice"):
        read_lock(tmp_path / "lock")


def test_the_shipped_lock_file_names_no_host_and_every_debian_package():
    text, packages = SHIPPED_LOCK.read_text(encoding="utf-8"), read_lock(SHIPPED_LOCK)

    assert "://" not in text
    assert {p.name for p in packages if p.kind == DEB} == set(contents.DEBIAN_PACKAGES)
