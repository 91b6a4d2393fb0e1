"""A folder's files to the phone: what differs, in pieces, verified there before it counts.

Files gather in a folder beside the target, `.NAME.partial`, which stays when the cable is pulled:
the same push goes on from there. Large ones grow piece by piece, small ones come in tar archives of
a piece's size. When all have the right sha256 they take their places by rename.
"""

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pocketllm.runtime.errors import RunError

from .adb import ConnectionLost, Phone, checked, send_file, shell
from .paths import HOME, INCOMING, script
from .tree import Entry, held_tree, manifest_text, sizes_in, sums_in

PIECE_BYTES = 16 << 20
SPARE_BYTES = PIECE_BYTES + (8 << 20)  # the piece under way, folders, a manifest
SMALL_BYTES = 1 << 20  # files up to this size travel in archives
LEFT = "what has arrived stays, the same command goes on from there"


def push_files(
    phone: Phone,
    files: dict[str, Path],
    tree: dict[str, Entry],
    target: str,
    started: Callable[[int], Callable[[int], None]],
) -> int:
    """Makes a folder on the phone hold these files; returns how many bytes of them were sent.

    Args:
      phone: where to.
      files: {path in the folder: where it is here}.
      tree: what they are, from `local_tree`.
      target: the folder; what stands there and in no manifest is left alone.
      started: told the number of bytes to send, if any; returns what is told of their progress.

    Raises:
      ConnectionLost: what has arrived stays.
      RunError: the phone is full (then nothing of it stays), or something arrived damaged.
    """
    held = held_tree(phone, target)
    differing = {name: entry for name, entry in tree.items() if held.get(name) != entry}
    if not differing and held.keys() <= tree.keys():
        return 0
    partial = _partial(target)
    arrived = _arrived(phone, partial, differing)
    total = sum(entry.size - arrived.get(name, 0) for name, entry in differing.items())
    _check_space(phone, total, target)
    advance = started(total)
    try:
        _send_small(phone, files, _missing(differing, arrived, small=True), partial, advance)
        for name, entry in _missing(differing, arrived, small=False).items():
            _send_large(phone, files[name], f"{partial}/{name}", arrived.get(name, 0), advance)
        _verify(phone, differing, partial)
        _commit(phone, tree, held, partial, target)
    except ConnectionLost as error:
        raise ConnectionLost(f"{error}; {LEFT}") from error
    except RunError:
        shell(phone, script('rm -rf "$partial" "$incoming"', partial=partial, incoming=INCOMING))
        raise
    return total


def free_bytes(phone: Phone) -> int:
    """Returns what is free where the phone's side of us lives."""
    asked = script('mkdir -p "$home" && df -k "$home" | tail -n 1', home=HOME)
    fields = checked(phone, asked, HOME).split()
    return int(fields[-3]) * 1024


def _partial(target):
    parent, _, name = target.rpartition("/")
    return f"{parent}/.{name}.partial"


def _missing(differing, arrived, small):
    return {
        name: entry
        for name, entry in differing.items()
        if arrived.get(name, -1) < entry.size and (entry.size <= SMALL_BYTES) is small
    }


def _arrived(phone, partial, differing):
    """Returns {path: bytes that need not be sent again}; what is of no use there goes."""
    sizes = sizes_in(phone, partial)
    if not sizes:
        return {}
    whole = {n for n, size in sizes.items() if n in differing and size == differing[n].size}
    sums = sums_in(phone, partial) if whole else {}
    arrived = {}
    for name, size in sizes.items():
        entry = differing.get(name)
        if name in whole and sums.get(name) == entry.sha256:
            arrived[name] = size
        elif entry and SMALL_BYTES < entry.size and size < entry.size:
            arrived[name] = size // PIECE_BYTES * PIECE_BYTES
        else:
            drop = script('rm -f "$path"', path=f"{partial}/{name}")
            checked(phone, drop, partial)
    return arrived


def _check_space(phone, total, target):
    needed, free = total + SPARE_BYTES, free_bytes(phone)
    if needed > free:
        raise RunError(
            f"{target}: needs {needed / 1e6:.0f} MB, the phone has {free / 1e6:.0f} MB free; "
            "free some there, `adb shell rm -r` what is no longer needed of "
            f"{HOME}/bundles and runs"
        )


def _send_small(phone, files, missing, partial, advance):
    for archive, size in _archives(files, missing):
        _send_piece(phone, archive, size, advance)
        unpack = script(
            'mkdir -p "$partial" && tar -xf "$piece" -C "$partial" && rm "$piece"',
            partial=partial,
            piece=f"{INCOMING}/piece",
        )
        checked(phone, unpack, partial)


def _archives(files, missing) -> Iterator[tuple[bytes, int]]:
    """Yields (a tar archive, bytes of files in it)."""
    names = list(missing)
    while names:
        buffer, size = io.BytesIO(), 0
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            while names and (size == 0 or size + missing[names[0]].size <= PIECE_BYTES):
                name = names.pop(0)
                archive.add(files[name], name, filter=_nobodys)
                size += missing[name].size
        yield buffer.getvalue(), size


def _nobodys(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


def _send_large(phone, path, there, done, advance):
    """Appends a file's pieces from byte `done`; each is cut to its place, so twice is once."""
    append = 'truncate -s "$done" "$there" && cat "$piece" >> "$there" && rm "$piece"'
    make = script('mkdir -p "${there%/*}" && touch "$there"', there=there)
    checked(phone, make, there)
    with open(path, "rb") as file:
        file.seek(done)
        while piece := file.read(PIECE_BYTES):
            _send_piece(phone, piece, len(piece), advance)
            at = script(append, done=done, there=there, piece=f"{INCOMING}/piece")
            checked(phone, at, there)
            done += len(piece)


def _send_piece(phone, data, size, advance):
    with tempfile.NamedTemporaryFile(prefix="pocketllm-push-") as file:
        file.write(data)
        file.flush()
        send_file(phone, Path(file.name), f"{INCOMING}/piece")
    advance(size)


def _verify(phone, differing, partial):
    sums = sums_in(phone, partial)
    damaged = sorted(name for name, entry in differing.items() if sums.get(name) != entry.sha256)
    if damaged:
        raise RunError(f"{damaged[0]}: arrived damaged on the phone; run the same command again")


def _commit(phone, tree, held, partial, target):
    """Puts the files in their places; the manifest last. Once begun it does not need us."""
    gone = [name for name in held if name not in tree]
    with tempfile.NamedTemporaryFile("w", prefix="pocketllm-push-", encoding="utf-8") as file:
        file.write(manifest_text(tree))
        file.flush()
        send_file(phone, Path(file.name), f"{partial}/.manifest")
    lines = [
        "trap '' HUP",
        'mkdir -p "$target" && rm -f "$target/.manifest" || exit 1',
        *(script('rm -f "$target/$gone"', gone=name) for name in gone),
        'if [ -z "$(ls "$target")" ]; then',  # a new one, at once
        '    rmdir "$target" && mv "$partial" "$target" || exit 1',
        "else",
        '    (cd "$partial" && find . -type f ! -path ./.manifest) | while IFS= read -r name; do',
        '        mkdir -p "$target/${name%/*}" && mv -f "$partial/$name" "$target/$name" || exit 1',
        "    done || exit 1",
        '    mv "$partial/.manifest" "$target/.manifest" && rm -rf "$partial" || exit 1',
        "fi",
        "sync",
    ]
    checked(phone, script(*lines, partial=partial, target=target), target)
