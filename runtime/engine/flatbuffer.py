"""A model's flatbuffer, changed in place so that an engine opens only some of its signatures.

An engine keeps up to 3 kB of every operator that a file has, called or not
(docs/decisions/0048-a-process-opens-what-it-calls.md). A list in a flatbuffer begins with its
length: a subgraph is emptied and a signature taken out by writing a few numbers, and no byte moves.
"""

import struct
from collections.abc import Callable, Iterator

UINT16, INT32, UINT32 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
UINT64 = struct.Struct("<Q")

# Numbers of the fields of the schema's tables (schema.fbs of TensorFlow Lite, version 3).
SUBGRAPHS, BUFFERS, SIGNATURES = 2, 4, 7  # of Model
KEY, SUBGRAPH = 2, 4  # of SignatureDef
LISTS, OPERATORS = (0, 1, 2, 3), 3  # of SubGraph: tensors, inputs, outputs, operators
OPTIONS_TYPE, OPTIONS = 3, 4  # of Operator
OFFSET = 1  # of Buffer: from the start of the file, more than 1 where the values lie outside
# Type of an operator's options: how many of their first fields are numbers of subgraphs.
CALLING = {92: 2, 93: 2, 103: 1}  # IF, WHILE, CALL_ONCE


def keep_signatures(data: memoryview, is_kept: Callable[[str], bool]) -> None:
    """Takes signatures out of a model, and empties the subgraphs that no other one runs.

    Args:
      data: the flatbuffer, changed in place.
      is_kept: takes a signature's name.
    """
    model = _root(data)
    subgraphs = list(_tables(data, model, SUBGRAPHS))
    signatures = list(_tables(data, model, SIGNATURES))
    kept = [table for table in signatures if is_kept(_text(data, table, KEY))]
    called: set[int] = set()
    pending = [_number(data, table, SUBGRAPH) for table in kept]
    while pending:
        number = pending.pop()
        if number not in called:
            called.add(number)
            pending += _called(data, subgraphs[number])
    for number, table in enumerate(subgraphs):
        for place in LISTS if number not in called else ():
            vector = _vector(data, table, place)
            if vector is not None:
                UINT32.pack_into(data, vector, 0)
    vector = _vector(data, model, SIGNATURES)
    if vector is not None:
        UINT32.pack_into(data, vector, len(kept))
        for index, table in enumerate(kept):
            entry = vector + 4 + 4 * index
            UINT32.pack_into(data, entry, table - entry)


def values_offset(data: memoryview) -> int:
    """Returns where in the file the first values behind the flatbuffer lie.

    Args:
      data: the flatbuffer, or the whole file.
    """
    buffers = _tables(data, _root(data), BUFFERS)
    places = (_field(data, table, OFFSET) for table in buffers)
    offsets = [UINT64.unpack_from(data, place)[0] for place in places if place is not None]
    return min((offset for offset in offsets if offset > 1), default=len(data))


def _called(data, subgraph) -> Iterator[int]:
    """Yields the numbers of the subgraphs that a subgraph's operators run."""
    for operator in _tables(data, subgraph, OPERATORS):
        place = _field(data, operator, OPTIONS_TYPE)
        kind = 0 if place is None else data[place]
        if kind in CALLING:
            options = _field(data, operator, OPTIONS)
            if options is None:
                raise ValueError("an operator has a type of options, and no options")
            table = options + UINT32.unpack_from(data, options)[0]
            for field in range(CALLING[kind]):
                yield _number(data, table, field)


def _root(data):
    return UINT32.unpack_from(data, 0)[0]


def _field(data, table, number):
    """Returns where a field of a table lies, None where the table lacks it."""
    layout = table - INT32.unpack_from(data, table)[0]
    entry = 4 + 2 * number
    if entry >= UINT16.unpack_from(data, layout)[0]:
        return None
    offset = UINT16.unpack_from(data, layout + entry)[0]
    return table + offset if offset else None


def _number(data, table, number):
    """Returns an integer of 32 bits that is not negative."""
    place = _field(data, table, number)
    return 0 if place is None else UINT32.unpack_from(data, place)[0]


def _vector(data, table, number):
    """Returns where a list of a table begins, with its length; None where the table lacks it."""
    place = _field(data, table, number)
    return None if place is None else place + UINT32.unpack_from(data, place)[0]


def _tables(data, table, number) -> Iterator[int]:
    """Yields where the tables of a list lie."""
    vector = _vector(data, table, number)
    if vector is not None:
        for index in range(UINT32.unpack_from(data, vector)[0]):
            entry = vector + 4 + 4 * index
            yield entry + UINT32.unpack_from(data, entry)[0]


def _text(data, table, number):
    vector = _vector(data, table, number)
    if vector is None:
        return ""
    length = UINT32.unpack_from(data, vector)[0]
    return bytes(data[vector + 4 : vector + 4 + length]).decode()
