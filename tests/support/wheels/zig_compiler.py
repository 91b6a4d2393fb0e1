"""Zig's C++ compiler, with which pocketllm-train is built for phones too: the wheel, in the cache.

`python tests/support/wheels/zig_compiler.py` puts it there by pip, unless it is there.
"""

from cached_wheel import CachedWheel

WHEEL = CachedWheel("ziglang", "0.17.1", "zig-tools")

if __name__ == "__main__":
    WHEEL.install()
