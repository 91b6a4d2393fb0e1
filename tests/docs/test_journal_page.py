"""JOURNAL.md says what the code does: a reader built from its tables alone reads a journal."""

import json
import re
import struct
import zlib
from dataclasses import asdict
from pathlib import Path

import pytest

from pocketllm.runtime.journal.chain import SEARCH_BYTES
from pocketllm.runtime.journal.descents import DESCENTS, RECORD_BYTES
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.journal.records import (
    APPLIED,
    HEAD,
    MOST_LOSSES,
    MOST_PASSES,
    record_bytes,
)
from pocketllm.runtime.journal.writer import FLUSH_SECONDS, JournalWriter
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.optim.applied import Applied, Pass
from pocketllm.runtime.optim.gradients import Descent
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.run.folder import RunConfig, start_or_continue
from pocketllm.runtime.run.parameters import CHECKSUM
from pocketllm.runtime.run.snapshots import KEPT, RECOVERY_SECONDS, RECOVERY_SHARE

PAGE = (Path(__file__).parents[2] / "tflite_models" / "JOURNAL.md").read_text()
CODES = {"u16": "H", "u32": "I", "i32": "i", "f32": "f", "f64": "d"}
STEPS = [
    Applied(1, (0.5, 0.25), 1e-4, 1e-3, (Pass(-7, 0.5), Pass(-7, -1.0), Pass(-7, 0.25)), 0.875),
    Applied(2, (0.1,) * 5, 2e-4, 1e-2, tuple(Pass(seed, 0.5) for seed in range(9))),
]


def table(heading):
    """Returns the rows of the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.M)[1:]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


@pytest.fixture
def journal(tmp_path):
    """The bytes of a journal of two steps, with the header of a run."""
    settings = MezoSettings(0.1, 1e-3, 0.5, "linear", 4)
    config = RunConfig("b" * 64, "d" * 64, 8, 3, settings, "64/64", "codebook")
    start_or_continue(tmp_path, config)
    with JournalWriter(tmp_path / JOURNAL) as writer:
        for step in STEPS:
            writer.append(step)
    return (tmp_path / JOURNAL).read_bytes()


def read_by_the_page(data):
    """Reads a journal as the page says: (header, steps)."""
    rows = table("Record")
    head = struct.Struct("<" + "".join(CODES[row[2]] for row in rows[:6]))
    assert head.size == sum(int(row[0]) for row in rows[:6])
    loss, entry = (
        "<" + "".join(CODES[code] for code in re.findall(r"[if]\d\d", row[2])) for row in rows[6:8]
    )
    assert [struct.calcsize(kind) for kind in (loss, entry)] == [8, 8]
    size = struct.unpack("<I", data[8:12])[0]
    place, checksum, steps = 12 + size, zlib.crc32(data[: 12 + size]), []
    assert struct.unpack_from("<I", data, place)[0] == checksum
    place += 4
    while place < len(data):
        first = place
        step, losses, passes, lr, eps, decay = head.unpack_from(data, place)
        place += head.size
        values = struct.unpack_from(f"<{losses}d", data, place)
        place += 8 * losses
        moves = tuple(struct.iter_unpack(entry, data[place : place + 8 * passes]))
        place += 8 * passes
        checksum = zlib.crc32(data[first:place], checksum)
        assert struct.unpack_from("<I", data, place)[0] == checksum
        place += 4
        steps.append((step, values, lr, eps, moves, decay))
    return json.loads(data[12 : 12 + size]), steps


def test_a_reader_of_the_page_reads_a_journal(journal):
    header, steps = read_by_the_page(journal)

    expected = [(s.step, s.losses, s.lr, s.eps, s.passes, s.decay) for s in STEPS]
    assert steps == expected
    named = {name for row in table("Header") for name in re.findall(r"`(\w+)`", row[0])}
    assert named - set(header) == {"normalize", "directions", "sides"}  # of other settings
    assert set(header) <= named


def test_a_reader_of_the_page_reads_a_journal_of_a_run_with_gradients(tmp_path):
    descents = [
        Descent(1, 0xFFFFFFFF, 0.5, 1e-4, 0.0, 1.0), Descent(2, 7, 0.25, 2e-4, 3.5, 0.125),
    ]  # fmt: skip
    config = RunConfig("b" * 64, "d" * 64, 8, 3, AdamSettings(0.1, 0.5, "constant", 4, 2, 1.0))
    start_or_continue(tmp_path, config)
    with JournalWriter(tmp_path / JOURNAL) as writer:
        for step in descents:
            writer.append(step)
    data = (tmp_path / JOURNAL).read_bytes()
    rows = table("The journal of a run with gradients")
    body = struct.Struct("<" + "".join(CODES[row[2]] for row in rows[:-1]))
    (length,) = map(int, re.search(r"records of\s+(\d+) bytes", PAGE).groups())
    assert length == sum(int(row[0]) for row in rows) == body.size + 4 == RECORD_BYTES
    names = [row[1].strip("`") for row in rows[:-1]]

    assert data.startswith(DESCENTS.magic) and f"`{DESCENTS.magic.decode()}`" in PAGE
    size = struct.unpack("<I", data[8:12])[0]
    header, place = json.loads(data[12 : 12 + size]), 12 + size
    checksum = zlib.crc32(data[:place])
    assert (header["clip_norm"], header["warmup_steps"], header["optimizer"]) == (1.0, 2, "adam")
    assert not {"noise", "eps", "steps"} & header.keys()
    place += 4
    for step in descents:
        record = data[place : place + body.size]
        assert dict(zip(names, body.unpack(record))) == asdict(step)
        checksum = zlib.crc32(record, checksum)
        place += length
        assert struct.unpack_from("<I", data, place - 4)[0] == checksum
    assert place == len(data)


def test_the_fields_and_sizes_are_those_of_the_code():
    names = [re.sub("`", "", row[1]) for row in table("Record")]
    assert names == ["step", "L", "P", "lr", "eps", "decay", "losses", "passes", "checksum"]
    assert HEAD.format == "<" + "".join(CODES[row[2]] for row in table("Record")[:6])
    base, loss, entry = map(
        int, re.search(r"takes (\d+) \+ (\d+) L \+ (\d+) P bytes", PAGE).groups()
    )
    assert record_bytes(5, 9) == base + 5 * loss + 9 * entry
    assert int(re.search(r"That is (\d+) bytes a step", PAGE)[1]) == record_bytes(2, 3)


def test_the_constants_are_those_of_the_code():
    words = " ".join(PAGE.split())
    assert f"`{APPLIED.magic.decode()}`" in words
    assert zlib.crc32(b"123456789") == int(re.search(r"= (0x[0-9A-F]{8})", words)[1], 16)
    assert "(fsync) once a second" in words and FLUSH_SECONDS == 1
    assert "more than two minutes, or more than 5% of the run" in words
    assert (RECOVERY_SECONDS, RECOVERY_SHARE) == (120, 0.05)
    assert "number of losses, 1,024 at most" in words and MOST_LOSSES == 1024
    assert "number of passes, 1,024 at most" in words and MOST_PASSES == 1024
    assert "more than 256 MiB of checksums" in words and SEARCH_BYTES == 256 << 20
    assert "The newest two are kept" in words and KEPT == 2
    assert f"`{CHECKSUM}`, u32" in words
