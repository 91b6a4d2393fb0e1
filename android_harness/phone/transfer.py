"""Sends a folder's files to the phone: only those that differ, in pieces, verified by sha256.

Files are collected beside the target in `.NAME.partial`, which stays when the cable is pulled: the
same push continues there. Large files are appended piece by piece, small ones come in tar archives
of at most one piece. When every file has the right sha256, all are renamed to their places.
"""

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from shlex import quote

from pocketllm.runtime.errors import RunError

from .adb import MAKE_ROOM, ConnectionLost, Phone, check_output, send_file, shell
from .paths import HOME, INCOMING, script
from .space import free_bytes, full_remedy
from .tree import Entry, manifest_text, remote_tree, sizes_in, sums_in

PIECE_BYTES = 16 << 20
SPARE_BYTES = 8 << 20  # for folders, the manifest, and what the phone writes meanwhile
SMALL_BYTES = 1 << 20  # files up to this size travel in archives
# Of this process: two may send to one phone at once.
PIECE = f"{INCOMING}/piece-{token_hex(8)}"
# Two who send the same finish one after the other; a lock of 10 s is a dead process's.
LOCK = """
tries=0
until mkdir "$partial.lock" 2>/dev/null || [ "$tries" -gt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
trap 'rmdir "$partial.lock"' EXIT
"""
STALE_SECONDS = 3600  # a piece of this age is a dead process's
LEFT = "what has arrived stays, the same command goes on from there"


def push_files(
    phone: Phone,
    files: dict[str, Path],
    tree: dict[str, Entry],
    target: str,
    *,
    start_progress: Callable[[int], Callable[[int], None]],
) -> int:
    """Makes a folder on the phone hold these files; returns the number of bytes that were sent.

    Args:
      phone: the phone to send them to.
      files: {path in the folder: file here}.
      tree: the tree of `files`, from `local_tree`.
      target: the folder on the phone; files in it that no manifest names are left alone.
      start_progress: called with the number of bytes to send, if any file differs; returns the
        callback that takes the bytes of every piece that was sent.

    Raises:
      ConnectionLost: the phone is gone; the files that have arrived stay.
      RunError: the phone is full, or a file arrived damaged; nothing of this push stays.
    """
    old_tree = remote_tree(phone, target)
    differing = {name: entry for name, entry in tree.items() if old_tree.get(name) != entry}
    if not differing and old_tree.keys() <= tree.keys():
        return 0
    partial = partial_folder(target)
    arrived = _arrived(phone, partial, differing)
    total = sum(entry.size - arrived.get(name, 0) for name, entry in differing.items())
    _check_space(phone, total, target)
    progress = start_progress(total)
    _make_folders(phone, partial)
    try:
        _send_small(phone, files, _missing(differing, arrived, small=True), partial, progress)
        for name in _missing(differing, arrived, small=False):
            _send_large(phone, files[name], f"{partial}/{name}", arrived.get(name, 0), progress)
        _verify(phone, differing, partial)
        _commit(phone, tree, old_tree, partial, target)
    except ConnectionLost as error:
        raise ConnectionLost(f"{error}; {LEFT}") from error
    except RunError:
        shell(phone, script(LOCK, 'rm -f "$piece"', piece=PIECE, partial=partial))
        if remote_tree(phone, target) == tree:  # another process has sent the same meanwhile
            return total
        shell(phone, script('rm -rf "$partial"', partial=partial))
        raise
    return total


def _make_folders(phone, partial):
    """Makes our folders before adb does, for their owner alone; removes pieces of the dead."""
    lines = (
        'mkdir -p "$home" "$incoming" "$partial" && chmod 700 "$home" || exit 1',
        'for piece in "$incoming"/*; do',
        '    mtime=$(stat -c %Y "$piece" 2>/dev/null) || continue',
        f'    [ $(($(date +%s) - mtime)) -lt {STALE_SECONDS} ] || rm -f "$piece"',
        "done",
    )
    check_output(phone, script(*lines, home=HOME, incoming=INCOMING, partial=partial), partial)


def partial_folder(target: str) -> str:
    """Returns the folder where a push to a folder collects what has arrived."""
    parent, _, name = target.rpartition("/")
    return f"{parent}/.{name}.partial"


def _missing(differing, arrived, small):
    """Returns the entries, small or large ones, that have not arrived whole."""
    return {
        name: entry
        for name, entry in differing.items()
        if arrived.get(name, -1) < entry.size and (entry.size <= SMALL_BYTES) is small
    }


def _arrived(phone, partial, differing):
    """Returns {path: bytes that need not be sent again}; removes files that are of no use.

    A whole file must have the right sha256. The end of an unfinished one may be half a piece, so
    that only its whole pieces count.
    """
    sizes = sizes_in(phone, partial)
    if not sizes:
        return {}
    whole = {n for n, size in sizes.items() if n in differing and size == differing[n].size}
    sums = sums_in(phone, partial) if whole else {}
    arrived, useless = {}, []
    for name, size in sizes.items():
        entry = differing.get(name)
        if name in whole and sums.get(name) == entry.sha256:
            arrived[name] = size
        elif entry and entry.size > max(SMALL_BYTES, size):
            arrived[name] = size // PIECE_BYTES * PIECE_BYTES
        else:
            useless.append(name)
    if useless:
        names = "\n".join(f"rm -f {quote(f'./{name}')}" for name in useless)
        check_output(phone, script('cd "$partial" || exit 0', names, partial=partial), partial)
    return arrived


def _check_space(phone, total, target):
    piece = min(total, PIECE_BYTES)  # is there twice while it is being sent
    needed, free = total + piece + SPARE_BYTES, free_bytes(phone)
    if needed > free:
        raise RunError(
            f"{target}: needs {needed / 1e6:.0f} MB, the phone has {free / 1e6:.0f} MB free; "
            f"{MAKE_ROOM}, or remove other things there"
        )


def _send_small(phone, files, missing, partial, progress):
    for archive, size in _archives(files, missing):
        _send_piece(phone, archive, size, progress)
        unpack = script(
            'mkdir -p "$partial" && tar -xf "$piece" -C "$partial" && rm "$piece"',
            partial=partial,
            piece=PIECE,
        )
        check_output(phone, unpack, partial)


def _archives(files, missing) -> Iterator[tuple[bytes, int]]:
    """Yields (a tar archive, bytes of files in it)."""
    names = list(missing)
    while names:
        buffer, size = io.BytesIO(), 0
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            while names and (size == 0 or size + missing[names[0]].size <= PIECE_BYTES):
                name = names.pop(0)
                archive.add(files[name], name, filter=_without_owner)
                size += missing[name].size
        yield buffer.getvalue(), size


def _without_owner(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o700 if member.mode & 0o100 else 0o600
    return member


def _send_large(phone, path, remote, offset, progress):
    """Appends a file's pieces from byte `offset` on.

    The file is cut to the offset before each piece, so that a piece may be sent twice.
    """
    append = 'truncate -s "$offset" "$remote" && cat "$piece" >> "$remote" && rm "$piece"'
    create = script('mkdir -p "${remote%/*}" && touch "$remote"', remote=remote)
    check_output(phone, create, remote)
    with open(path, "rb") as file:
        file.seek(offset)
        while piece := file.read(PIECE_BYTES):
            _send_piece(phone, piece, len(piece), progress)
            append_piece = script(append, offset=offset, remote=remote, piece=PIECE)
            check_output(phone, append_piece, remote)
            offset += len(piece)


def _send_piece(phone, data, size, progress):
    """Sends `data` to the phone as INCOMING's piece; `size` bytes of files are in it."""
    _send_bytes(phone, data, PIECE)
    progress(size)


def _send_bytes(phone, data, remote):
    with tempfile.NamedTemporaryFile(prefix="pocketllm-push-") as file:
        file.write(data)
        file.flush()
        send_file(phone, Path(file.name), remote)


def _verify(phone, differing, partial):
    sums = sums_in(phone, partial)
    damaged = sorted(name for name, entry in differing.items() if sums.get(name) != entry.sha256)
    if damaged:
        remedy = full_remedy(phone) or "; run the same command again"
        raise RunError(f"{damaged[0]}: arrived damaged on the phone{remedy}")


def _commit(phone, tree, old_tree, partial, target):
    """Renames the files to their places and removes old ones; the manifest comes last.

    One script, which ignores the end of the connection: once started, it runs to its end.
    """
    # A list of any length is a file: a command of a phone's is short.
    gone = "".join(f"{name}\n" for name in old_tree if name not in tree)
    _send_bytes(phone, gone.encode(), f"{partial}/.gone")
    _send_bytes(phone, manifest_text(tree).encode(), f"{partial}/.manifest")
    lines = [
        "trap '' HUP",
        LOCK,
        '[ -e "$partial/.manifest" ] || exit 1',  # another process was here first
        'mkdir -p "$target" && rm -f "$target/.manifest" || exit 1',
        'while IFS= read -r name; do rm -f "$target/$name"; done <"$partial/.gone" || exit 1',
        'rm "$partial/.gone"',
        'if [ -z "$(ls "$target")" ]; then',  # a new folder: one rename
        '    rmdir "$target" && mv "$partial" "$target" || exit 1',
        "else",
        '    (cd "$partial" && find . -type f ! -path ./.manifest) | while IFS= read -r name; do',
        '        mkdir -p "$target/${name%/*}" && mv -f "$partial/$name" "$target/$name" || exit 1',
        "    done || exit 1",
        '    mv "$partial/.manifest" "$target/.manifest" && rm -rf "$partial" || exit 1',
        "fi",
        "sync",
    ]
    check_output(phone, script(*lines, partial=partial, target=target), target)
