"""TensorFlow, imported when a graph is built: `from . import lazy_tensorflow as tf`.

The files of the architectures hold names and numbers too, which `pocketllm export --help`, the
bench and replay read: they must not wait for TensorFlow, nor need it.
"""


def __getattr__(name: str):
    import tensorflow

    return getattr(tensorflow, name)
