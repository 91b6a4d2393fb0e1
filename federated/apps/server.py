"""The ServerApp: it reads what `pocketllm federate server` was called with, and serves."""

import json
import os
from pathlib import Path
from typing import Any

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import write_bytes, write_json
from pocketllm.runtime.host.lock import LockedError

from ..commands import server
from ..commands.shared import federation_of
from ..flower.carrier import FlowerGrid
from ..flower.keys import signer_of
from ..flower.processes import end_with_parent
from ..rounds import serve
from ..terms import Watcher


def make() -> Any:
    """Returns the app, for Flower to call."""
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid, context):
        end_with_parent()
        serve_run(Path(str(context.run_config["folder"])), FlowerGrid(grid))

    return app


def serve_run(folder: Path, grid) -> None:
    """Serves a federation of which the server's command has written what it is.

    Args:
      folder: the run directory.
      grid: a Grid (terms.py).
    """
    home = folder / server.HOME
    arguments = json.loads((home / server.CALLED).read_bytes())["arguments"]
    values = server.FLAGS
    values.unparse_flags()
    values(["server", *arguments])
    is_first = not server.is_alive(home)

    def began():
        write_bytes(home / server.ALIVE, str(os.getpid()).encode())

    if is_first:
        began()  # before it serves, so that nobody starts another
    try:
        people = server.people_of(values)
        config, terms = federation_of(values, read_bundle(values.bundle), people)
        sign = signer_of(Path(values.creds))
        with open(home / server.LOG, "a", buffering=1) as log:
            watcher = Watcher(began=began, say=lambda line: print(line, file=log))
            # Flower may start this process while that of a killed SuperLink still ends.
            wait = server.LEFT_SECONDS
            serve(folder, config, terms, grid, sign=sign, watcher=watcher, lock_seconds=wait)
    except LockedError:
        return  # another one serves: on a slow machine a second was started
    except (InputError, RunError) as error:
        is_input = isinstance(error, InputError)
        write_json(home / server.ENDED, {"error": str(error), "is_input": is_input})
