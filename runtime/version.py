"""Versions: of the package, of the formats that it reads and writes, of the engines here."""

from importlib import metadata

from . import contract


def describe_version() -> str:
    """Returns the lines of `pocketllm --version`; imports no engine."""
    engines = (
        f"{name} ({distribution} {_version(distribution)})"
        for name, distribution in contract.ENGINES.items()
    )
    return "\n".join(
        (
            f"pocketllm {_version('pocketllm')}",
            f"formats: bundle {contract.FORMAT_VERSION}, journal {contract.JOURNAL_VERSION}",
            f"engines: {', '.join(engines)}",
        )
    )


def _version(distribution):
    """Returns the version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
