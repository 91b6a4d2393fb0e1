"""A second implementation of what the vectors hold, from FORMAT.md and JOURNAL.md alone.

Plain Python integers and the standard library: what a port to another language needs, no more.
"""

import json
import struct
import zlib

MASK = 0xFFFFFFFF


def word(x: int) -> int:
    """Returns the last rounds of the hash, uint32."""
    x = x * 0x21F0AAAD & MASK
    x ^= x >> 15
    return x * 0xD35A2D97 & MASK


def mix(x: int) -> int:
    """Hashes a uint32."""
    x = word(x ^ x >> 16)
    return x ^ x >> 15


def stream_key(seed: int, stream: int) -> int:
    """Returns the key of a variable's stream for an int32 seed."""
    return mix(mix(seed & MASK ^ 0x7F4A7C15) ^ mix(stream ^ 0x85EBCA6B))


def noise_words(seed: int, stream: int, count: int) -> list[int]:
    """Returns the words w(0) … w(count - 1)."""
    key = stream_key(seed, stream)
    return [word(mix(i ^ 0x9E3779B9) ^ key) for i in range(count)]


def second_words(seed: int, stream: int, count: int) -> list[int]:
    """Returns the words w' of the angles, for the noise kind `gaussian`."""
    key = mix(stream_key(seed, stream) ^ 0xC2B2AE35)
    return [word(mix(i ^ 0x9E3779B9) ^ key) for i in range(count)]


def sign(words: list[int], position: int) -> float:
    """Returns one value of z of the kind `rademacher`: a bit of the top half of a block's word."""
    block, column = divmod(position, 16)
    return 1.0 if words[block] >> 16 + column & 1 else -1.0


def float32(value: float) -> float:
    """Returns the float32 nearest to a double: a sum or product of two float32 is rounded once."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def noise_pass(theta: list[float], z: list[float], scale: float) -> list[float]:
    """Returns a variable after `perturb_and_update`."""
    return [float32(value + float32(scale * step)) for value, step in zip(theta, z)]


def decaying_pass(
    theta: list[float], z: list[float], scale: float, decay: float, probe: float
) -> list[float]:
    """Returns a variable that decays after `perturb_and_decay`; another has `noise_pass`."""
    scale = float32(scale - float32(decay * probe))
    moved = [float32(float32(scale * b) - float32(decay * a)) for a, b in zip(theta, z)]
    return [float32(a + b) for a, b in zip(theta, moved)]


def step_seed(seed: int, step: int) -> int:
    """Returns a step's noise seed, an int32."""
    value = mix(mix(seed & MASK ^ 0x165667B1) ^ mix(step & MASK))
    return value - (1 << 32) if value >> 31 else value


def step_members(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Returns the positions of a step's examples among `count`."""
    members = []
    for place in range((step - 1) * batch_size, step * batch_size):
        epoch, position = divmod(place, count)
        key = mix(mix(seed & MASK ^ 0x27D4EB2F) ^ mix(epoch & MASK))
        order = sorted(range(count), key=lambda i: mix(i ^ key))  # stable, as FORMAT.md asks
        members.append(order[position])
    return members


def read_journal(data: bytes) -> tuple[dict, list[dict]]:
    """Returns (header, records) of a journal of version 3 without a torn end."""
    assert data[:8] == b"PLLMJRN3"
    (size,) = struct.unpack_from("<I", data, 8)
    place = 12 + size
    header = json.loads(data[12:place])
    checksum = zlib.crc32(data[:place])
    assert struct.unpack_from("<I", data, place) == (checksum,)
    place += 4
    records = []
    while place < len(data):
        step, losses, passes, lr, eps, decay = struct.unpack_from("<IHHddf", data, place)
        end = place + 28 + 8 * losses + 8 * passes
        checksum = zlib.crc32(data[place:end], checksum)
        assert struct.unpack_from("<I", data, end) == (checksum,)
        first = place + 28 + 8 * losses
        records.append(
            {
                "step": step,
                "lr": lr,
                "eps": eps,
                "decay": decay,
                "losses": list(struct.unpack_from(f"<{losses}d", data, place + 28)),
                "passes": [list(p) for p in struct.iter_unpack("<if", data[first:end])],
            }
        )
        place = end + 4
    return header, records
