"""Activations with derivatives of their own, made of operations that convert and are delegated.

What TensorFlow derives by itself does not convert for GELU (erf) and leaves the delegate for ReLU
(a comparison).
"""

import math

from . import lazy_tensorflow as tf

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf within 1.5e-7.
ERF_P = 0.3275911
ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
TINY = 1e-30


def _gelu_slope(x):
    """Φ(x) + x φ(x); at 0 it is 0.5 and not a quotient of small numbers."""
    size = tf.abs(x)
    density = tf.exp(x * x * -0.5)  # φ(x) √(2π), and the exponential of erf(x / √2)
    t = 1.0 / (1.0 + size * (ERF_P / math.sqrt(2)))
    tail = ERF_A[-1] * t
    for a in reversed(ERF_A[:-1]):
        tail = (tail + a) * t
    tail = tail * density * 0.5  # 1 - Φ(|x|)
    sign = x / tf.maximum(size, TINY)
    # The tail first: bind schedules in this order, and fewer tensors are alive beside it.
    return (0.5 - tail) * sign + 0.5 + x * density * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh_slope(x):
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    square = x * x
    bent = tf.tanh(x * (1.0 + cubic * square) * scale)
    inner = (1.0 + 3 * cubic * square) * scale
    return 0.5 * (1.0 + bent) + 0.5 * x * (1.0 - bent * bent) * inner


def _relu_slope(x):
    positive = tf.nn.relu(x)
    return positive / tf.maximum(positive, TINY)


def _silu_slope(x):
    share = tf.sigmoid(x)
    # With what the forward pass has anyway, x * share, so that x is not alive beside it.
    return share + x * share * (1.0 - share)


def _tanh_slope(x):
    bent = tf.tanh(x)
    return 1.0 - bent * bent


def _with_slope(function, slope):
    def activation(x):
        @tf.custom_gradient
        def differentiable(x):
            # The slope first: what comes in is computed only then, and not alive beside it.
            return function(x), lambda upstream: slope(x) * upstream

        return differentiable(x)

    return activation


def _gelu_tanh(x):
    return tf.nn.gelu(x, approximate=True)


gelu = _with_slope(lambda x: tf.nn.gelu(x, approximate=False), _gelu_slope)
_gelu_new = _with_slope(_gelu_tanh, _gelu_tanh_slope)
_silu = _with_slope(lambda x: x * tf.sigmoid(x), _silu_slope)

# Hugging Face's name -> function of a tensor.
ACTIVATION_FUNCTIONS = {
    "gelu": gelu,
    "gelu_new": _gelu_new,
    "gelu_pytorch_tanh": _gelu_new,
    "relu": _with_slope(lambda x: tf.nn.relu(x), _relu_slope),
    "silu": _silu,
    "swish": _silu,
    "tanh": _with_slope(lambda x: tf.tanh(x), _tanh_slope),
}
