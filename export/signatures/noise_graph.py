"""The direction z(seed) as TensorFlow ops; runtime/noise.py defines and documents it.

It uses only the uint32 operations that both interpreters run:
docs/decisions/0007-noise-is-a-counter-hash.md.
"""

import math

import numpy as np
import tensorflow as tf

from pocketllm.runtime import noise


def _shift(x, bits):
    return tf.bitwise.right_shift(x, tf.constant(bits, tf.uint32))


def _xorshift(x, bits):
    return tf.bitwise.bitwise_xor(x, _shift(x, bits))


def _mix(x):
    x = _xorshift(x, 16) * tf.constant(noise.MULTIPLIER_1)
    x = _xorshift(x, 15) * tf.constant(noise.MULTIPLIER_2)
    return _xorshift(x, 15)


def stream_key(seed, stream):
    """Returns the key [1] uint32 of one stream for `seed` [1] uint32, already hashed."""
    return _mix(tf.bitwise.bitwise_xor(seed, tf.constant(noise.stream_salts([stream]))))


def stream_keys(seed, streams):
    """Returns the keys [V, 1] uint32 of V streams, likewise."""
    return _mix(tf.bitwise.bitwise_xor(seed, tf.constant(noise.stream_salts(streams)[:, None])))


def seed_word(seed):
    """Hashes the signature's seed [1] int32 once for all streams."""
    return _mix(tf.bitwise.bitwise_xor(tf.cast(seed, tf.uint32), tf.constant(noise.SEED_SALT)))


def counter_count(kind, size, columns):
    """Returns how many words a direction of `size` values takes from each of its word streams."""
    return math.ceil(size / (2 if kind == "gaussian" else columns))


def direction(kind, *, key, counters, table, size):
    """Computes z of one variable.

    Args:
      kind: noise kind.
      key: [1] uint32.
      counters: [counter_count] uint32, the hashed counters.
      table: [rows, columns] float32; None for gaussian. Multiplied by a scale, it gives scale * z.
      size: number of values.

    Returns:
      [size / columns, columns] float32 where whole rows of the table fill it, else [size].
    """
    if kind == "gaussian":
        return _box_muller(key, counters)[:size]
    values = _table_rows(key, counters, table)
    return values if size % table.shape[1] == 0 else tf.reshape(values, [-1])[:size]


def directions(kind, *, keys, counters, table):
    """Computes z of V variables that take as many words each.

    Args:
      kind: noise kind.
      keys: [V, 1] uint32.
      counters: [counter_count] uint32, the hashed counters.
      table: [rows, columns] float32; None for gaussian.

    Returns:
      [V, values] float32; z of a variable is the first of its row.
    """
    if kind == "gaussian":
        return _box_muller(keys, counters)
    return tf.reshape(_table_rows(keys, counters, table), [keys.shape[0], -1])


def _table_rows(key, counters, table):
    """Returns the row of the table that each word picks, [.., counter_count, columns]."""
    shift = 32 - (table.shape[0].bit_length() - 1)
    return tf.gather(table, tf.cast(_shift(_words(counters, key), shift), tf.int32))


def _words(counters, key):
    x = tf.bitwise.bitwise_xor(counters, key) * tf.constant(noise.MULTIPLIER_1)
    return _xorshift(x, 15) * tf.constant(noise.MULTIPLIER_2)


def _box_muller(key, counters):
    second = _mix(tf.bitwise.bitwise_xor(key, tf.constant(noise.SECOND_WORD_SALT)))
    uniform = (tf.cast(_shift(_words(counters, key), 9), tf.float32) + 0.5) * 2.0**-23
    rest = 1.0 - uniform  # exact
    # Near 1 a logarithm's error of 6e-8 would grow in the square root; these bounds are closer
    # (docs/decisions/0020-box-muller-between-bounds.md).
    exponential = -tf.math.log(uniform)
    exponential = tf.maximum(exponential, rest + rest * rest * 0.5)
    exponential = tf.minimum(exponential, rest * tf.math.rsqrt(uniform))
    turns = tf.cast(_shift(_words(counters, second), 8), tf.float32)
    angle = turns * np.float32(2 * np.pi * 2.0**-24)
    radius = tf.sqrt(exponential * 2.0)
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], -1)
