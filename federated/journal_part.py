"""A client's copy of the server's journal: begun from its header, continued by its records."""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import make_folders, write_bytes
from pocketllm.runtime.journal.chain import WORD, sound_bytes, step_at
from pocketllm.runtime.journal.flushed import FLUSHED
from pocketllm.runtime.journal.reader import JOURNAL, Journal, read_journal
from pocketllm.runtime.journal.records import APPLIED
from pocketllm.runtime.journal.writer import JournalWriter

DAMAGED = "journal.damaged"


class ForkedError(InputError):
    """The server's journal is another one than the client's."""


def read_part(folder: Path, say=lambda line: None) -> Journal | None:
    """Reads a client's journal; None where there is none.

    A damaged one is put aside: the server has all of it.

    Args:
      folder: the client's run directory.
      say: told of damage.
    """
    path = Path(folder) / JOURNAL
    if not path.exists():
        return None
    try:
        return read_journal(path)
    except InputError as error:
        say(f"{error}; it is put aside as {DAMAGED}, and the server sends it again")
        os.replace(path, path.with_name(DAMAGED))
        with suppress(FileNotFoundError):
            os.unlink(path.with_name(FLUSHED))
        return None


def begin_part(folder: Path, header: bytes, checksum: int) -> Journal:
    """Writes a journal without steps.

    Args:
      folder: the client's run directory.
      header: of the server's journal, with its checksum.
      checksum: that the server names.

    Raises:
      InputError: the header does not fit the checksum, or is none.
    """
    body, end = header[: -WORD.size], header[-WORD.size :]
    if not header.startswith(APPLIED.magic) or zlib.crc32(body) != checksum:
        raise InputError("the header of the server's journal is damaged; ask again")
    if end != WORD.pack(checksum):
        raise InputError("the header of the server's journal is damaged; ask again")
    make_folders(Path(folder))
    with suppress(FileNotFoundError):
        os.unlink(Path(folder) / FLUSHED)  # of a journal that is gone
    write_bytes(Path(folder) / JOURNAL, header)
    return read_journal(Path(folder) / JOURNAL)


def extend_part(folder: Path, journal: Journal, start: int, records: bytes) -> Journal:
    """Appends the server's records behind those that a client has; returns the journal then.

    Nothing is written unless all of them are sound, and those that are there are the same.

    Args:
      folder: the client's run directory.
      journal: read from there.
      start: steps before the first of the records; no more than the journal has.
      records: of the server's journal.

    Raises:
      ForkedError: what is there is something else.
      InputError: a record is damaged.
    """
    before, number, place = journal.checksums[start], start, 0
    steps = []
    while place < len(records):
        number += 1
        size = sound_bytes(APPLIED, records, place, before)
        if not size or step_at(records, place) != number:
            if place == 0:
                raise ForkedError(f"record {number} does not follow the client's step {start}")
            raise InputError(f"record {number} is damaged; ask again")
        before = WORD.unpack_from(records, place + size - WORD.size)[0]
        if number < len(journal.checksums):
            if journal.checksums[number] != before:
                raise ForkedError(f"record {number} is another one than the client's")
        else:
            steps.append((APPLIED.decoded(records, place), before))
        place += size
    if not steps:
        return journal
    with JournalWriter(Path(folder) / JOURNAL) as writer:
        for step, checksum in steps:
            writer.append(step)
            assert writer.checksum == checksum, "a record is written as it was sent"
    return read_journal(Path(folder) / JOURNAL)
