"""OpenVINO's libraries, which LiteRT's compiler for Intel's NPUs needs: the wheel, in the cache.

`python tests/support/wheels/openvino_libraries.py` puts it there by pip, unless it is there.
"""

from cached_wheel import CachedWheel

# The compiler of ai-edge-litert 2.3 is built for this release alone (libopenvino.so.2631).
WHEEL = CachedWheel("openvino", "2026.3.1", "accelerator-tools")


def needed() -> dict[str, str]:
    """Returns the environment in which LiteRT finds them; without them the test is skipped."""
    libraries = WHEEL.needed() / WHEEL.package / "libs"
    # Its CPU device computes in bfloat16 where a processor has that; with AVX2 alone none has.
    return {"LD_LIBRARY_PATH": str(libraries), "ONEDNN_MAX_CPU_ISA": "AVX2"}


if __name__ == "__main__":
    WHEEL.install()
