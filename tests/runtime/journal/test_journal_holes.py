"""Holes in a journal: lost behind the last flush, damage before it. And what it takes of memory."""

import re
import tracemalloc

import pytest
from small_runs import RECORD_BYTES

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal import chain, records
from pocketllm.runtime.journal.flushed import FLUSHED
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.journal.writer import JournalWriter, new_journal
from pocketllm.runtime.optim.applied import Applied, Pass
from pocketllm.runtime.run.folder import describe_torn_end


def step(number):
    """Returns what a MeZO step applies."""
    return Applied(number, (0.5 + number, 0.25), 1e-4, 1e-3, (Pass(-number, 0.5),) * 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def stop_without_an_end(path, flushed_steps, steps):
    """Writes a journal whose writer is never closed, flushed after so many of its steps."""
    new_journal(path, {"seed": 3})
    journal = JournalWriter(path)
    for number in range(1, steps + 1):
        journal.append(step(number))
        if number == flushed_steps:
            journal.flush()
    return path.read_bytes()


def tear(path, data, hole=RECORD_BYTES):
    """Writes a journal of nine steps with zeros for the first bytes of step 5's record."""
    begin = len(data) - 5 * RECORD_BYTES
    path.write_bytes(data[:begin] + bytes(hole) + data[begin + hole :])


@pytest.mark.parametrize("hole", [1, 40, RECORD_BYTES])
def test_a_hole_behind_the_last_flush_costs_the_steps_behind_it_and_no_more(hole, path):
    data = stop_without_an_end(path, flushed_steps=3, steps=9)
    tear(path, data, hole)

    journal = read_journal(path)
    assert journal.steps == [step(n) for n in range(1, 5)]
    assert (journal.torn_bytes, journal.lost_steps) == (5 * RECORD_BYTES, 5)
    assert re.fullmatch(
        rf"{path}: step 5 was lost .*: the last {5 * RECORD_BYTES} bytes \(5 steps or more\) are "
        "left out and done again; the run holds 4 steps",
        describe_torn_end(path.parent),
    )
    with JournalWriter(path) as journal:
        for number in range(5, 10):
            journal.append(step(number))
    assert path.read_bytes() == data


def test_a_hole_before_the_last_flush_is_damage(path):
    data = stop_without_an_end(path, flushed_steps=7, steps=9)
    tear(path, data)

    with pytest.raises(InputError, match="record 5 is damaged"):
        read_journal(path)


def test_a_hole_in_a_run_that_ended_is_damage_and_so_is_one_in_a_journal_alone(path):
    data = stop_without_an_end(path, flushed_steps=9, steps=9)
    JournalWriter(path).close()
    assert not (path.parent / FLUSHED).exists(), "all of it is on the disk"
    tear(path, data)

    with pytest.raises(InputError, match="record 5 is damaged"):
        read_journal(path)


@pytest.mark.parametrize("mark", [b"", b"\0" * 28, b"\xff" * 28, b"damaged"])
def test_a_mark_that_cannot_be_read_says_nothing_and_the_steps_are_done_again(mark, path):
    data = stop_without_an_end(path, flushed_steps=7, steps=9)
    (path.parent / FLUSHED).write_bytes(mark)
    tear(path, data)

    assert read_journal(path).steps == [step(n) for n in range(1, 5)]


def test_a_journal_takes_little_more_memory_than_its_bytes(path):
    new_journal(path, {"seed": 3})
    data = [path.read_bytes()]
    before = chain.WORD.unpack(data[0][-4:])[0]
    for number in range(1, 20_001):
        data.append(chain.chained(records.APPLIED, step(number), before))
        before = chain.WORD.unpack(data[-1][-4:])[0]
    path.write_bytes(b"".join(data))

    tracemalloc.start()
    journal = read_journal(path)
    bytes_a_step = tracemalloc.get_traced_memory()[0] / 20_000
    tracemalloc.stop()
    assert len(journal.steps) == 20_000
    assert bytes_a_step < RECORD_BYTES + 24, "places, ends and checksums: no objects"
