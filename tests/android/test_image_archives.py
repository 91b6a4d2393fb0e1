"""Archives and lock files of strangers: nothing leaves the image's folder or grows past bounds."""

import gzip
import io
import lzma
import stat
import tarfile
import warnings
import zipfile
from dataclasses import replace

import pytest
from sound_packages import SOUND

from pocketllm.android_harness.image.build import build
from pocketllm.android_harness.image.lock import DEB, WHEEL
from pocketllm.android_harness.image.members import MOST_MEMBERS
from pocketllm.android_harness.image.unpack import TAR_MEMBER_BYTES, read_package
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.desktop  # the workstation's side
OUTSIDE = [
    "/tmp/out",
    "../out",
    "a/../../out",
    "a/../out",
    "..",
    "a//b",
    "a\\..\\out",
    "a\nb",
    "a/.",
]


def tar_member(name, data=b"code", kind=tarfile.REGTYPE, link="", mode=0o644):
    """Returns (a tar archive's member, its contents)."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname, member.mode = len(data), kind, link, mode
    return member, data


def write_deb(path, *members, suffix="xz", data=None):
    """Writes a Debian package of these members, or with this data member."""
    if data is None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=f"w:{suffix}") as archive:
            for member, content in members:
                archive.addfile(member, io.BytesIO(content))
        data = stream.getvalue()
    parts = [("debian-binary", b"2.0"), (f"data.tar.{suffix}".rstrip("."), data)]
    path.write_bytes(b"!<arch>\n" + b"".join(ar_member(*part) for part in parts))
    return path


def ar_member(name, data, size=None):
    size = len(data) if size is None else size
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)


def write_wheel(path, *members):
    """Writes a wheel of (name or ZipInfo, contents)."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in members:
            archive.writestr(name, content)
    return path


def refused(kind, path, problem, **changes):
    """Asserts that a package is refused in one line that names the file and the problem."""
    with pytest.raises(InputError) as error:
        read_package(replace(SOUND[kind], **changes), path)
    line = str(error.value)
    assert line.startswith(f"{path}: no ") and problem in line and "\n" not in line, line


@pytest.mark.parametrize("suffix", ["xz", "gz", ""])
def test_a_debian_packages_links_become_the_files_they_point_at(tmp_path, suffix):
    path = write_deb(
        tmp_path / "x",
        tar_member("./", b"", tarfile.DIRTYPE),
        tar_member("./usr/lib/", b"", tarfile.DIRTYPE),
        tar_member("./usr/lib/libx.so.1.2", mode=0o755),
        tar_member("./usr/lib/libx.so.1", b"", tarfile.SYMTYPE, "libx.so.1.2"),
        tar_member("./lib/libx.so.1", b"", tarfile.SYMTYPE, "/usr/lib/libx.so.1.2"),
        tar_member("./usr/doc", b"", tarfile.SYMTYPE, "of-another-package"),
        suffix=suffix,
    )

    assert read_package(SOUND[DEB], path) == {
        "usr/lib/libx.so.1.2": (b"code", True),
        "usr/lib/libx.so.1": (b"code", True),
        "lib/libx.so.1": (b"code", True),
    }


def test_a_wheel_is_read_whole(tmp_path):
    path = write_wheel(tmp_path / "w", ("a/", ""), ("a/b.py", "1"))

    assert read_package(SOUND[WHEEL], path) == {"a/b.py": (b"1", False)}


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"!<arch>\nshort", b"PK\3\4"])
def test_what_is_no_package_is_named(tmp_path, data):
    (tmp_path / "x").write_bytes(data)

    refused(DEB, tmp_path / "x", "no Debian package")
    refused(WHEEL, tmp_path / "x", "no wheel")


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_outside_the_folder_are_refused(tmp_path, name):
    refused(DEB, write_deb(tmp_path / "d", tar_member(name)), "")
    refused(WHEEL, write_wheel(tmp_path / "w", (name, "1")), "")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([tar_member("a", b"", tarfile.LNKTYPE, "/etc/passwd")], "neither a file"),
        ([tar_member("a"), tar_member("b", b"", tarfile.LNKTYPE, "a")], "neither a file"),
        ([tar_member("a", b"", tarfile.CHRTYPE)], "neither a file"),
        ([tar_member("a", b"", tarfile.BLKTYPE)], "neither a file"),
        ([tar_member("a", b"", tarfile.FIFOTYPE)], "neither a file"),
        ([tar_member("a", b"", tarfile.SYMTYPE, "../../etc")], "leads out"),
        ([tar_member("a", b"", tarfile.SYMTYPE, "b"), tar_member("a/c")], "below a symbolic link"),
        ([tar_member("a/c"), tar_member("a", b"", tarfile.SYMTYPE, "b")], "below a symbolic link"),
        ([tar_member("a", b"", tarfile.SYMTYPE, "/"), tar_member("a")], "comes twice"),
        ([tar_member("a"), tar_member("a/b")], "below a file"),
        ([tar_member("a"), tar_member("./a")], "comes twice"),
        ([tar_member("a"), tar_member("a", b"", tarfile.DIRTYPE)], "comes twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_members_that_are_no_plain_files_or_hide_others_are_refused(tmp_path, members, problem):
    refused(DEB, write_deb(tmp_path / "x", *members), problem)


def zip_member(name, mode=0, **fields):
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    for field, value in fields.items():
        setattr(member, field, value)
    return member


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([(zip_member("a", stat.S_IFLNK | 0o777), "/etc/passwd")], "neither a file"),
        ([(zip_member("a", stat.S_IFCHR), "")], "neither a file"),
        ([("a", "1"), ("a", "2")], "comes twice"),
        ([("a", "1"), ("a/b", "2")], "below a file"),
    ],
)
def test_wheels_of_links_devices_and_names_that_come_twice_are_refused(tmp_path, members, problem):
    refused(WHEEL, write_wheel(tmp_path / "x", *members), problem)


def test_an_encrypted_wheel_is_refused(tmp_path):
    path = write_wheel(tmp_path / "x", ("a", "1"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)

    refused(WHEEL, path, "encrypted")


def test_more_bytes_than_the_lock_file_says_are_refused(tmp_path):
    deb = write_deb(tmp_path / "d", tar_member("a", bytes(600)), tar_member("b", bytes(600)))
    wheel = write_wheel(tmp_path / "w", ("a", bytes(600)), ("b", bytes(600)))

    refused(DEB, deb, "more than 1,000 bytes")
    refused(WHEEL, wheel, "more than 1,000 bytes")
    assert len(read_package(replace(SOUND[DEB], unpacked=1200), deb)) == 2
    assert len(read_package(replace(SOUND[WHEEL], unpacked=1200), wheel)) == 2


def test_a_wheel_that_unpacks_to_more_than_it_declares_is_refused(tmp_path):
    path = write_wheel(tmp_path / "x", ("a", bytes(5000)))
    data = bytearray(path.read_bytes())
    for signature, field in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = data.index(signature) + field
        data[place : place + 4] = (500).to_bytes(4, "little")
    path.write_bytes(data)

    refused(WHEEL, path, "CRC")


@pytest.mark.parametrize("suffix", ["xz", "gz"])
def test_a_tar_archive_that_grows_without_members_is_refused_early(tmp_path, suffix, monkeypatch):
    """A long name of a gigabyte: no file of it counts, yet it would be read whole."""
    monkeypatch.setattr("pocketllm.android_harness.image.unpack.MOST_MEMBERS", 10)
    size = 200_000_000
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, size
    compress = {"xz": lzma.compress, "gz": gzip.compress}[suffix]
    data = compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(size))
    path = write_deb(tmp_path / "x", suffix=suffix, data=data)
    assert len(data) < 300_000 and size > 10 * TAR_MEMBER_BYTES

    refused(DEB, path, "larger than the lock file says")


def test_a_sparse_file_of_a_terabyte_of_holes_is_refused(tmp_path):
    header = tarfile.TarInfo("a")
    header.type = tarfile.GNUTYPE_SPARSE
    buffer = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    buffer[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    buffer[148:156] = b" " * 8
    buffer[148:156] = f"{sum(buffer[:512]):06o}\0 ".encode()
    path = write_deb(tmp_path / "x", data=lzma.compress(bytes(buffer) + bytes(1024)))

    refused(DEB, path, "neither a file")


def test_a_dictionary_larger_than_xz_makes_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    path = write_deb(tmp_path / "x", data=lzma.compress(bytes(9), filters=filters))

    refused(DEB, path, "emory")


@pytest.mark.parametrize("size", ["-60", "1e3", "", "99999"])
def test_an_ar_member_of_no_size_or_past_the_end_is_refused(tmp_path, size):
    (tmp_path / "x").write_bytes(b"!<arch>\n" + ar_member("a", b"data", size))

    refused(DEB, tmp_path / "x", "damaged ar archive")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    assert MOST_MEMBERS == 20_000
    monkeypatch.setattr("pocketllm.android_harness.image.members.MOST_MEMBERS", 2)
    path = write_wheel(tmp_path / "x", *((name, "1") for name in "abc"))

    refused(WHEEL, path, "3 members, expected 2 at most")


def test_a_wheel_never_writes_into_our_package_or_another_wheel(tmp_path):
    out = tmp_path / "image"
    for name in ("pocketllm/runtime/cli.py", "pocketllm/more.py"):
        write_wheel(tmp_path / SOUND[WHEEL].file, (name, "1"))
        with pytest.raises(InputError, match=f"site/{name} is another package's too"):
            build([SOUND[WHEEL]], tmp_path, out)
    write_wheel(tmp_path / SOUND[WHEEL].file, ("y.py", "1"))
    other = replace(SOUND[WHEEL], name="y", file="y-1-py3-none-any.whl")
    write_wheel(tmp_path / other.file, ("y.py", "2"))

    with pytest.raises(InputError, match="y-1-.*site/y.py is another package's too"):
        build([SOUND[WHEEL], other], tmp_path, out)
    assert not out.exists()
