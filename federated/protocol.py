"""What goes over the wire between server and clients, as bytes (docs/guide/federated.md).

A question names steps to measure, and brings the records of the steps before them. An answer holds
losses, in a private run slopes and never losses, or how many steps the client has. All numbers are
little-endian. Nothing here knows how the bytes travel.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

QUESTION, ANSWER = b"PLLMASK1", b"PLLMANS1"
# Magic; attempt, first step, steps, start of the records, checksum of the journal's header; then
# the bytes of header, records and signature.
QUESTION_HEAD = struct.Struct("<8s5I3I")
ANSWER_HEAD = struct.Struct("<8sBII8sI")  # magic, kind, attempt, steps, seal, bytes that follow
LOSSES, BEHIND, REFUSED, SLOPES, SPENT, FAILED = range(6)  # kinds of answer
SEAL_BYTES = 8
MOST_STEPS = 1024  # that a question measures
MOST_HEADER, MOST_RECORDS = 1 << 16, 16 << 20  # bytes in a question
MOST_TEXT = 500  # characters of a refusal

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], None]


@dataclass(frozen=True)
class Question:
    """What the server asks a client.

    Attributes:
      attempt: number of this asking; its answer names it.
      first: step to measure first, 1 for the run's first.
      steps: to measure, all at the parameters before `first`.
      start: number of the steps before `records`.
      header_checksum: of the federation's journal, whose steps these are.
      header: the journal's bytes before its first record; none for a client that has them.
      records: of the journal, as they stand there.
    """

    attempt: int
    first: int
    steps: int
    start: int
    header_checksum: int
    header: bytes = b""
    records: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What a client says.

    Attributes:
      kind: LOSSES; SLOPES in a private run; BEHIND, where steps before the first are missing;
        REFUSED; SPENT, where the privacy budget is; FAILED, where a loss is not finite.
      attempt: of the question.
      steps: that the client's journal holds.
      seal: SEAL_BYTES that are the same where the parameters are; zeros without numbers.
      losses: of every step, in the optimizer's order.
      slopes: projected gradient of every step, bounded and, where the client adds it, with noise.
      text: why it refuses, in words.
    """

    kind: int
    attempt: int
    steps: int
    seal: bytes = bytes(SEAL_BYTES)
    losses: tuple[float, ...] = ()
    text: str = ""
    slopes: tuple[float, ...] = ()


def pack_question(question: Question, sign: Sign | None = None) -> bytes:
    """Returns a question's bytes, its signature over all before it at the end."""
    signature_bytes = len(sign(b"")) if sign else 0
    head = QUESTION_HEAD.pack(
        QUESTION,
        question.attempt,
        question.first,
        question.steps,
        question.start,
        question.header_checksum,
        len(question.header),
        len(question.records),
        signature_bytes,
    )
    data = head + question.header + question.records
    return data + (sign(data) if sign else b"")


def read_question(data: bytes, check: Check | None = None) -> Question:
    """Reads a question.

    Args:
      data: of `pack_question`.
      check: (bytes, signature) raises InputError for a signature that does not fit; None takes
        questions without one.

    Raises:
      InputError: no question, one with impossible numbers, or not signed by the server.
    """
    if len(data) < QUESTION_HEAD.size or not data.startswith(QUESTION):
        raise InputError("a message that is no question; server and client are of two versions")
    fields = QUESTION_HEAD.unpack_from(data)
    attempt, first, steps, start, checksum, *lengths = fields[1:]
    header_bytes, record_bytes, signature_bytes = lengths
    if QUESTION_HEAD.size + sum(lengths) != len(data):
        raise InputError("a question that is cut short; ask again")
    if not 1 <= steps <= MOST_STEPS or header_bytes > MOST_HEADER or record_bytes > MOST_RECORDS:
        raise InputError(
            f"a question of {steps} steps and {record_bytes} bytes of records: refused"
        )
    end = len(data) - signature_bytes
    if check:
        check(data[:end], data[end:])
    middle = QUESTION_HEAD.size + header_bytes
    header, records = data[QUESTION_HEAD.size : middle], data[middle:end]
    return Question(attempt, first, steps, start, checksum, header, records)


def pack_answer(answer: Answer) -> bytes:
    """Returns an answer's bytes."""
    body = answer.text[:MOST_TEXT].encode()
    if answer.kind in (LOSSES, SLOPES):
        numbers = answer.losses if answer.kind == LOSSES else answer.slopes
        body = np.asarray(numbers, "<f8").tobytes()
    kind, numbers = answer.kind, (answer.attempt, answer.steps)
    return ANSWER_HEAD.pack(ANSWER, kind, *numbers, answer.seal, len(body)) + body


def read_answer(data: bytes) -> Answer:
    """Reads an answer.

    Raises:
      InputError: no answer.
    """
    if len(data) < ANSWER_HEAD.size or not data.startswith(ANSWER):
        raise InputError("no answer; server and client are of two versions")
    _, kind, attempt, steps, seal, size = ANSWER_HEAD.unpack_from(data)
    body = data[ANSWER_HEAD.size :]
    if len(body) != size or not LOSSES <= kind <= FAILED:
        raise InputError("an answer that is cut short")
    if kind not in (LOSSES, SLOPES):
        text = body[: 4 * MOST_TEXT].decode(errors="replace")
        return Answer(kind, attempt, steps, seal, text=" ".join(text.split()))
    if size % 8:
        raise InputError(f"an answer of {size} bytes of numbers, expected a multiple of 8")
    numbers = tuple(np.frombuffer(body, "<f8").tolist())
    if kind == SLOPES:
        return Answer(kind, attempt, steps, seal, slopes=numbers)
    return Answer(kind, attempt, steps, seal, numbers)


def refusal(attempt: int, steps: int, error: Exception | str, kind: int = REFUSED) -> bytes:
    """Returns the bytes of an answer that refuses."""
    return pack_answer(Answer(kind, attempt, steps, text=str(error)))


def refusal_in(data: bytes) -> str | None:
    """Returns why an answer refuses, None where it does not."""
    answer = read_answer(data)
    return answer.text if answer.kind in (REFUSED, SPENT, FAILED) else None


def losses_of_steps(losses: Sequence[float], steps: int) -> list[Sequence[float]]:
    """Cuts an answer's losses into those of each step."""
    each = len(losses) // steps
    return [losses[number * each : (number + 1) * each] for number in range(steps)]
