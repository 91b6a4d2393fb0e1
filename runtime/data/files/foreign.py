"""Files that hold no rows, told by their first bytes."""

import zipfile
from pathlib import Path

from ...errors import InputError
from ...host.foreign import GIT_LFS, is_page, is_refusal

_TO_JSONL = "write it as JSONL first, for example pandas' to_json(orient='records', lines=True)"
_UNPACK = "unpack it and name the file in it"
# First bytes -> what the file is, and what to do.
_MAGIC = {
    GIT_LFS: (
        "a git-lfs pointer in place of the file",
        "run `git lfs pull` in its repository",
    ),
    b"PAR1": ("a Parquet file", _TO_JSONL),
    b"ARROW1": ("an Arrow file", _TO_JSONL),
    b"\xff\xff\xff\xff": ("an Arrow stream", _TO_JSONL),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV (UTF-8)"),
    b"SQLite format 3": ("an SQLite database", _TO_JSONL),
    b"BZh": ("a bzip2 file", "unpack it; gzip alone is read as it is"),
    b"\xfd7zXZ": ("an xz file", "unpack it; gzip alone is read as it is"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "unpack it; gzip alone is read as it is"),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"\x1f\x8b": ("a gzip file inside a gzip file", "unpack it once"),
    b"%PDF": ("a PDF file", "give rows of text"),
    b"\x93NUMPY": ("a NumPy array", "give rows of text"),
    b"\x80\x04\x95": ("a pickle", _TO_JSONL),
    b"\xff\xfe\0\0": ("UTF-32 text", "convert the file to UTF-8"),
}


def check_content(path: Path, head: bytes) -> None:
    """Checks the first bytes of a data file, decompressed.

    Raises:
      InputError: they are those of another kind of file.
    """
    kind, remedy = _kind(path, head)
    if kind:
        raise InputError(f"{path}: found {kind}, expected TSV, CSV or JSON; {remedy}")


def _kind(path: Path, head: bytes) -> tuple[str, str]:
    for magic, known in _MAGIC.items():
        if head.startswith(magic):
            return known
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path, head)
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if is_page(head):
        return "a web page", "download the file itself (its raw form), not the page that shows it"
    if is_refusal(head):
        return (
            "an error message of a server in place of the file",
            "check the address, and download the file again",
        )
    return "", ""


def _zip_kind(path: Path, head: bytes) -> tuple[str, str]:
    """Says what a zip archive is, by the folders in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            folders = {name.split("/")[0] for name in archive.namelist()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        folders = {"xl"} if b"xl/" in head or b"[Content_Types].xml" in head else set()
    if "xl" in folders:
        return "an Excel workbook", "save the sheet as CSV (UTF-8)"
    if "word" in folders:
        return "a Word document", "save the text as TSV, CSV or JSONL"
    if b"opendocument.spreadsheet" in head:
        return "a spreadsheet", "save the sheet as CSV (UTF-8)"
    return "a zip archive", _UNPACK
