"""The journal of a run with gradients: what is cut is left out, what is altered is refused."""

import pytest

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.descents import DESCENTS, RECORD_BYTES
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.journal.records import APPLIED
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.gradients import Descent

STEPS = [Descent(n, 2**32 - n, 0.1 * n, 1e-3 / n, 2.0**n, 1 / n) for n in range(1, 6)]


@pytest.fixture
def path(tmp_path):
    """A journal of five steps."""
    new_journal(tmp_path / "journal", {"optimizer": "adam", "seed": 3}, DESCENTS)
    with JournalWriter(tmp_path / "journal") as journal:
        for step in STEPS:
            journal.append(step)
    return tmp_path / "journal"


def test_it_reads_back_to_the_bit(path):
    journal = read_journal(path)

    assert list(journal.steps) == STEPS and journal.layout is DESCENTS
    assert journal.header == {"optimizer": "adam", "seed": 3}
    assert list(journal.steps[1:3]) == STEPS[1:3]


def test_what_is_cut_anywhere_is_left_out_and_overwritten(path):
    data = path.read_bytes()
    begin = len(data) - len(STEPS) * RECORD_BYTES

    for size in range(begin, len(data) + 1):
        path.write_bytes(data[:size])
        journal = read_journal(path)
        whole, torn = divmod(size - begin, RECORD_BYTES)
        assert (list(journal.steps), journal.torn_bytes) == (STEPS[:whole], torn)
        if torn == RECORD_BYTES // 2:
            with JournalWriter(path) as writer:
                for step in STEPS[whole:]:
                    writer.append(step)
            assert path.read_bytes() == data


def test_a_bit_that_was_altered_anywhere_is_refused_or_at_the_end(path):
    """Of the last record, and of the checksum in front of it, it looks as if cut off."""
    data = path.read_bytes()
    last = len(data) - RECORD_BYTES

    for place in range(len(data)):
        for bit in (0, 7):
            altered = bytearray(data)
            altered[place] ^= 1 << bit
            path.write_bytes(altered)
            if place >= last - 4:
                assert list(read_journal(path).steps) == STEPS[: -1 if place >= last else -2]
                continue
            with pytest.raises(InputError, match=r"^[^\n]+$"):
                read_journal(path)


def test_the_first_bytes_of_the_other_kind_are_no_way_around(path):
    path.write_bytes(APPLIED.magic + path.read_bytes()[8:])

    with pytest.raises(InputError, match="the header is damaged"):
        read_journal(path)


def test_another_version_is_named(path):
    path.write_bytes(b"PLLMGRD2" + path.read_bytes()[8:])

    with pytest.raises(InputError, match="journal of version 2, this pocketllm reads version 1"):
        read_journal(path)
