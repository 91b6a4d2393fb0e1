"""Files that are not what their name says: downloads and clones that brought something else."""

from pathlib import Path

HEAD_BYTES = 512
GIT_LFS = b"version https://git-lfs"
MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg", b"<body")

POINTER = "a git-lfs pointer, not the file itself; run `git lfs pull` in its folder, or download it"
PAGE = "an HTML page, not the file itself; download the raw file"
EMPTY = "empty; download it again"


def foreign_kind(path: Path) -> str | None:
    """Says what a file is, and what to do, where it only stands for what its name says.

    Returns:
      None for any other file, and for one that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    if not head:
        return EMPTY
    if head.startswith(GIT_LFS):
        return POINTER
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return PAGE if text.startswith(MARKUP) else None
