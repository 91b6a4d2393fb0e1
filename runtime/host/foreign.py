"""Files that are not what their name says: downloads and clones that brought something else."""

import json
import re
from pathlib import Path

HEAD_BYTES = 512
GIT_LFS = b"version https://git-lfs"
MARKUP = (
    b"<!doctype", b"<!--", b"<html", b"<head", b"<body", b"<title", b"<meta", b"<table", b"<div",
    b"<script", b"<h1", b"<p>", b"<center", b"<?xml", b"<svg", b"<error>",
)  # fmt: skip
# The whole text of a file that a server's error was saved in: GitHub's, the Hub's, a proxy's.
_REFUSALS = re.compile(
    rb"(error:? ?)?[45]\d\d\b:? ?(bad request|unauthorized|forbidden|not found|gone|"
    rb"too many requests|internal server error|bad gateway|service unavailable|gateway time-?out)"
    rb"|not found|unauthorized|forbidden"
    rb"|((entry|repository|revision|file|page|model|dataset|package) not found"
    rb"|invalid (username or password|rev id)|access to (model|dataset) .* is (restricted|gated)"
    rb"|you are trying to access a gated repo|invalid credentials|rate limit|too many requests)"
    rb"[^\n]*",
    re.IGNORECASE,
)
_REFUSAL_KEYS = {
    "error", "errors", "message", "status", "statuscode", "code", "detail", "documentation_url",
    "path", "timestamp", "requestid", "request_id", "cause_exception", "type", "title", "instance",
}  # fmt: skip

POINTER = "a git-lfs pointer, not the file itself; run `git lfs pull` in its folder, or download it"
PAGE = "an HTML page, not the file itself; download the raw file"
REFUSAL = "an error message of a server, not the file itself; check its address, download it again"
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
    if is_refusal(head):
        return REFUSAL
    return PAGE if is_page(head) else None


def is_page(head: bytes) -> bool:
    """Returns whether a file is a web page, by its first bytes."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(MARKUP)


def is_refusal(head: bytes) -> bool:
    """Returns whether a file is the error message of a server.

    Args:
      head: its first bytes; a message is shorter than HEAD_BYTES.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    if len(head) >= HEAD_BYTES:
        return False
    if not text.startswith(b"{"):
        return _REFUSALS.fullmatch(text.rstrip(b".")) is not None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if isinstance(values.get("message"), list):
        return False  # a chat under a misspelt key
    keys = {key.lower() for key in values}
    return bool(keys & {"error", "errors", "message", "detail"}) and keys <= _REFUSAL_KEYS
