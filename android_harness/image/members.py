"""Members of a stranger's archive: each inside the folder that it is written to, and once."""

import posixpath
from collections.abc import Iterable

MOST_MEMBERS = 20_000
FILE, FOLDER, LINK = "file", "folder", "symbolic link"


def member_path(name: str, kind: str) -> str:
    """Returns a member's path as it is compared: no "./" in front, no "/" behind a folder.

    Raises:
      ValueError: the name is absolute, leaves its folder or is no name.
    """
    path = name.removesuffix("/") if kind == FOLDER else name
    path = "." if path in (".", "") and kind == FOLDER else path.removeprefix("./")
    parts = path.split("/")
    if path != "." and (not {"", ".", ".."}.isdisjoint(parts) or "\\" in path):
        raise ValueError(f"{name!r}: a {kind} outside its folder")
    if not path.isprintable() or max(map(len, parts)) > 255:
        raise ValueError(f"{name[:80]!r}: no name of a {kind}")
    return path


def link_target(path: str, target: str) -> str:
    """Returns the path in the archive that a symbolic link leads to.

    Raises:
      ValueError: it leads out of the archive.
    """
    inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).lstrip("/")
    if inner.split("/")[0] == "..":
        raise ValueError(f"{path!r}: a {LINK} that leads out, to {target!r}")
    return inner


def check_members(members: Iterable[tuple[str, str]]) -> None:
    """Checks (path, kind) of all members of an archive.

    Raises:
      ValueError: there are too many, a path comes twice, or one lies below what is no folder.
    """
    kinds = {}
    for path, kind in members:
        if path in kinds and {kind, kinds[path]} != {FOLDER}:
            raise ValueError(f"{path!r}: a name that comes twice")
        kinds[path] = kind
    if len(kinds) > MOST_MEMBERS:
        raise ValueError(f"{len(kinds):,} members, expected {MOST_MEMBERS:,} at most")
    for path in kinds:
        parent = posixpath.dirname(path)
        while parent:
            if kinds.get(parent, FOLDER) != FOLDER:
                raise ValueError(f"{path!r}: below a {kinds[parent]}")
            parent = posixpath.dirname(parent)
