"""Wheels that a test needs and no environment: each release in a folder of the cache."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pocketllm.runtime.host.folders import cache_folder


@dataclass(frozen=True)
class CachedWheel:
    """A release of a package.

    Attributes:
      package: its name on PyPI.
      version: the release that the tests ran with.
      target: what `make` calls the target that puts it into the cache.
    """

    package: str
    version: str
    target: str

    @property
    def folder(self) -> Path:
        """The folder in the cache that the wheel is unpacked in."""
        return cache_folder(self.package)

    @property
    def is_installed(self) -> bool:
        """Whether this release is in the cache."""
        return any(
            d.name == self.package and d.version == self.version
            for d in distributions(path=[str(self.folder)])
        )

    def install(self) -> None:
        """Fills the folder, unless it is full; exits with a line where pip cannot."""
        if self.is_installed:
            return
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        release = f"{self.package}=={self.version}"
        if subprocess.run([*command, "--target", self.folder, release]).returncode:
            sys.exit(f"error: {self.package} {self.version} cannot be installed")

    def needed(self) -> Path:
        """Returns the folder; without the wheel the test is skipped."""
        import pytest

        if not self.is_installed:
            pytest.skip(
                f"{self.package} {self.version} is not in {self.folder}: `make {self.target}` "
                "puts it there"
            )
        return self.folder
