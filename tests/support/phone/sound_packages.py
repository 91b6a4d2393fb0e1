"""A Debian package and a wheel as a lock file names them, with nothing wrong."""

from pocketllm.android_harness.image.lock import DEB, WHEEL, Package

SHA = "0" * 64
SOUND = {
    DEB: Package(DEB, "x", "1", "x_1_arm64.deb", SHA, "pool/main/x/x_1_arm64.deb", 10, 1000),
    WHEEL: Package(WHEEL, "x", "1", "x-1-py3-none-any.whl", SHA, "", 10, 1000),
}
