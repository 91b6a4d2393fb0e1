"""The app that `flwr run` sends to SuperNodes: small files, whose code lies in this package."""

from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_bytes

NAME = "pocketllm_federation"
FILES = {
    "pyproject.toml": f"""\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "pocketllm-federation"
version = "0.1.0"
description = "MeZO by many: losses travel, nothing else"
license = "Apache-2.0"
dependencies = []  # nothing is installed at run time

[tool.flwr.app]
publisher = "pocketllm"

[tool.flwr.app.components]
serverapp = "{NAME}.server:app"
clientapp = "{NAME}.client:app"

[tool.flwr.app.config]
folder = ""
""",
    f"{NAME}/__init__.py": "",
    f"{NAME}/server.py": "from pocketllm.federated.apps.server import make\n\napp = make()\n",
    f"{NAME}/client.py": "from pocketllm.federated.apps.client import make\n\napp = make()\n",
}


def folder_setting(folder: Path) -> str:
    """Returns the setting that names a run directory to an app, as Flower's programs read it.

    Raises:
      InputError: Flower's settings have no way to write the path.
    """
    if "'" in str(folder.absolute()):
        raise InputError(f"{folder}: a path with an apostrophe; choose another --run")
    return f"folder='{folder.absolute()}'"


def write_app(folder: Path) -> Path:
    """Writes the app's files; returns the folder."""
    for name, text in FILES.items():
        write_bytes(folder / name, text.encode())
    return folder
