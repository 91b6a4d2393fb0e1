"""The journal: what was written comes back, and damage is named or cut off, never believed."""

import json
import os
import struct
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import RECORD_BYTES, steady

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.journal import chain, reader, records
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.applied import Applied, Pass

HEADER = {"bundle_checksum": "b" * 64, "seed": 3, "noise": "codebook"}
EPS = 1e-3

finite = st.floats(allow_nan=False, allow_infinity=False)
float32 = st.floats(allow_nan=False, width=32)
int32 = st.integers(-(2**31), 2**31 - 1)


def step(number, eps=EPS):
    """Returns what a MeZO step applies."""
    passes = (Pass(-number, 0.5), Pass(-number, -1.0), Pass(-number, 0.125 * number))
    return Applied(number, (0.5 + number, 0.25), 1e-4, eps, passes, 0.875)


def write(path, count, header=HEADER):
    """Writes a journal of so many steps; returns its bytes."""
    new_journal(path, header)
    with JournalWriter(path) as journal:
        for number in range(1, count + 1):
            journal.append(step(number))
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def test_a_new_journal_holds_its_header_and_no_steps(path):
    data = write(path, 0)
    journal = read_journal(path)

    assert (journal.header, journal.steps) == (HEADER, [])
    assert (list(journal.ends), journal.torn_bytes) == ([len(data)], 0)
    assert data.startswith(records.APPLIED.magic)


def test_the_bytes_are_those_of_the_format(path):
    data = write(path, 1)

    text = json.dumps(HEADER, sort_keys=True).encode()
    header = b"PLLMJRN3" + struct.pack("<I", len(text)) + text
    first = zlib.crc32(header)
    record = struct.pack("<IHHddf", 1, 2, 3, 1e-4, EPS, 0.875) + struct.pack("<dd", 1.5, 0.25)
    record += struct.pack("<ififif", -1, 0.5, -1, -1.0, -1, 0.125)
    checksum = struct.pack("<I", zlib.crc32(record, first))
    assert data == header + struct.pack("<I", first) + record + checksum
    assert RECORD_BYTES == len(record + checksum) <= 96


applied = st.builds(
    Applied,
    step=st.just(0),
    losses=st.lists(finite, max_size=9).map(tuple),
    lr=finite,
    eps=finite,
    passes=st.lists(st.builds(Pass, int32, float32), max_size=9).map(tuple),
    decay=float32,
)


@steady
@given(
    steps=st.lists(applied, max_size=5),
    header=st.dictionaries(st.text(), st.none() | st.text() | finite | st.integers()),
)
def test_what_was_written_comes_back_as_the_same_bits(steps, header, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "journal"
    written = [replace(entry, step=number) for number, entry in enumerate(steps, 1)]
    new_journal(path, header)
    for entry in written:  # opened again for every step, as after a kill
        with JournalWriter(path) as journal:
            journal.append(entry)

    journal = read_journal(path)
    assert journal.header == header
    assert list(map(repr, journal.steps)) == list(map(repr, written))  # -0.0 is not 0.0
    assert journal.steps[1:] == written[1:] and list(reversed(journal.steps)) == written[::-1]


def test_cut_anywhere_in_its_last_two_records_it_goes_on_with_the_whole_ones(path):
    data = write(path, 4)
    first = len(data) - 4 * RECORD_BYTES

    for cut in range(1, 2 * RECORD_BYTES + 1):
        torn = data[: len(data) - cut]
        path.write_bytes(torn)
        kept = (len(torn) - first) // RECORD_BYTES
        journal = read_journal(path)
        assert journal.steps == [step(number) for number in range(1, kept + 1)]
        assert journal.torn_bytes == len(torn) - first - kept * RECORD_BYTES
        assert path.read_bytes() == torn, "reading repairs nothing"

        with JournalWriter(path) as journal:
            for number in range(kept + 1, 5):
                journal.append(step(number))
        assert path.read_bytes() == data


def test_blocks_that_never_reached_the_disk_are_no_steps(path):
    data = write(path, 4)
    path.write_bytes(data[: -2 * RECORD_BYTES - 9] + bytes(2 * RECORD_BYTES + 9))

    assert read_journal(path).steps == [step(1)]


def test_a_flipped_bit_is_never_believed(path):
    data = write(path, 4)
    first = len(data) - 4 * RECORD_BYTES

    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            number, place = divmod(position - first, RECORD_BYTES)
            number += 1
            if position < first:
                with pytest.raises(
                    InputError, match=r"header is damaged|no journal|of version \d,"
                ):
                    read_journal(path)
            elif number < 3 or (number == 3 and place < RECORD_BYTES - 4):
                with pytest.raises(InputError, match=f"record {number} is damaged"):
                    read_journal(path)
            else:  # nothing sound behind it: as if it had been cut off, and taken again
                assert read_journal(path).steps == [step(n) for n in range(1, number)]


def test_records_of_another_journal_do_not_fit(path, tmp_path):
    data, other = write(path, 3), write(tmp_path / "other", 3, HEADER | {"seed": 4})
    assert len(data) == len(other)

    path.write_bytes(data[: -3 * RECORD_BYTES] + other[-3 * RECORD_BYTES :])
    with pytest.raises(InputError, match="record 1 is damaged"):
        read_journal(path)


def test_the_last_step_can_be_taken_back(path):
    data = write(path, 3)
    with JournalWriter(path) as journal:
        journal.append(step(4))
        journal.drop_last()
        assert journal.count == 3

    assert path.read_bytes() == data


def test_records_that_do_not_follow_each_other_are_refused(path):
    write(path, 2)
    with JournalWriter(path) as journal:
        journal.append(step(5))

    with pytest.raises(InputError, match="record 3 holds step 5.*written by another version"):
        read_journal(path)


def test_every_step_has_the_eps_and_the_passes_of_its_own(path):
    longer = replace(step(3, eps=2e-3), losses=(1.0,) * 9, passes=(Pass(7, 1.0),) * 24)
    write(path, 2)
    with JournalWriter(path) as journal:
        journal.append(longer)
        journal.append(step(4))

    assert read_journal(path).steps == [step(1), step(2), longer, step(4)]


@pytest.fixture
def summed(monkeypatch):
    """The bytes of every checksum that the reader of records takes."""
    lengths = []

    def crc32(data, before):
        lengths.append(len(data))
        return zlib.crc32(data, before)

    monkeypatch.setattr(chain, "zlib", SimpleNamespace(crc32=crc32))
    return lengths


@pytest.mark.parametrize("counts", [b"\0\4\0\4", b"\xff\xff\xff\xff", b"\0\1\0\1"])
def test_a_tail_made_to_take_long_takes_a_bounded_number_of_checksums(counts, path, summed):
    """Every eighth byte of 10 MB claims to begin a record."""
    path.write_bytes(write(path, 2) + (b"\1\0\0\0" + counts) * (10_000_000 // 8))
    summed.clear()

    if counts == b"\xff\xff\xff\xff":  # more than any record has: nothing to check
        assert read_journal(path).torn_bytes == 10_000_000
        assert sum(summed) < 1000
    else:
        with pytest.raises(InputError, match=r"^[^\n]*record 3 is damaged[^\n]*$"):
            read_journal(path)
        assert sum(summed) <= chain.SEARCH_BYTES + records.record_bytes(1024, 1024)


def test_the_longest_record_cut_off_anywhere_stays_within_the_search(path, summed):
    write(path, 2)
    longest = replace(step(3), losses=(1.0,) * 1024, passes=(Pass(7, 1.0),) * 1024)
    with JournalWriter(path) as journal:
        journal.append(longest)
    data = path.read_bytes()
    assert read_journal(path).steps[2] == longest

    # The worst that such a tail can hold: each of its places claims all that is behind it.
    assert records.record_bytes(1024, 1024) ** 2 // 2 < chain.SEARCH_BYTES
    for cut in (1, 5, 8000, 16_000):
        path.write_bytes(data[:-cut])
        assert read_journal(path).steps == [step(1), step(2)]


@pytest.mark.parametrize("entries", [{"losses": (1.0,) * 1025}, {"passes": (Pass(7, 1.0),) * 1025}])
def test_more_losses_or_passes_than_a_record_holds_are_refused(entries, path):
    data = write(path, 2)
    longer = replace(step(3), **entries)
    with JournalWriter(path) as journal, pytest.raises(InputError, match="1024 and 1024 at most"):
        journal.append(longer)
    assert path.read_bytes() == data

    # Written by another program, with a checksum that fits, it is not sound.
    before = chain.WORD.unpack(data[-4:])[0]
    head = records.HEAD.pack(3, len(longer.losses), len(longer.passes), 0.1, EPS, 1.0)
    record = head + bytes(8 * (len(longer.losses) + len(longer.passes)))
    path.write_bytes(data + record + chain.WORD.pack(zlib.crc32(record, before)))
    assert read_journal(path).steps == [step(1), step(2)]


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_journal_of_another_version_is_refused_in_one_line(version, path):
    path.write_bytes(b"PLLMJRN%d" % version + write(path, 2)[8:])

    expected = rf"^\S+: a journal of version {version}, .* reads version 3; train again [^\n]*$"
    with pytest.raises(InputError, match=expected):
        read_journal(path)


STARTS = [layout.magic + behind for layout in reader.LAYOUTS for behind in (b"", b"\xff" * 40)]


@pytest.mark.parametrize("data", [b"", b"PLLM", b'{"step": 1}\n', *STARTS])
def test_what_is_no_journal_is_refused(data, path):
    path.write_bytes(data)
    with pytest.raises(InputError, match="no journal"):
        read_journal(path)


def test_a_full_disk_is_a_failure_that_keeps_the_steps_before(path, monkeypatch):
    data = write(path, 2)
    written = os.pwrite

    def full(file, record, offset):
        if len(record) < RECORD_BYTES:
            raise OSError(28, "No space left on device")
        return written(file, record[:20], offset)

    with JournalWriter(path) as journal:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(RunError, match="journal: cannot be written: No space left on device"):
            journal.append(step(3))
        monkeypatch.undo()
    assert len(path.read_bytes()) == len(data) + 20

    with JournalWriter(path) as journal:
        journal.append(step(3))
    assert read_journal(path).steps == [step(1), step(2), step(3)]


def test_a_journal_that_cannot_be_opened_is_said(path):
    with pytest.raises(InputError, match="journal: No such file"):
        read_journal(path)
