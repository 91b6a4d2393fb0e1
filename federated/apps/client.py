"""The ClientApp: a process that answers one message, from its run directory and its data."""

import json
from pathlib import Path
from typing import Any

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.engine.model import open_model

from ..answering import Client, answer
from ..commands import client as command
from ..commands.private_flags import promise_of
from ..commands.shared import client_calls
from ..flower.carrier import DATA, RECORD, data_of
from ..flower.keys import check_of
from ..replica import Replica


def make() -> Any:
    """Returns the app, for Flower to call."""
    from flwr.app import ConfigRecord, Message, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()
    def train(message, context):
        data = answer_bytes(Path(str(context.node_config["folder"])), data_of(message) or b"")
        return Message(content=RecordDict({RECORD: ConfigRecord({DATA: data})}), reply_to=message)

    return app


def answer_bytes(folder: Path, question: bytes) -> bytes:
    """Returns the answer of the client of a run directory.

    Args:
      folder: the run directory; the client's command has written there what the client is.
      question: its bytes.

    Raises:
      InputError: no question of the server's.
    """
    home = folder / command.HOME
    arguments = json.loads((home / command.CALLED).read_bytes())["arguments"]
    values = command.FLAGS
    values.unparse_flags()
    values(["client", *arguments])
    bundle = read_bundle(values.bundle)
    data = load_dataset(values.train, bundle, training=True)
    calls = client_calls(data.buckets(bundle.lengths))
    threads = values.threads or None
    model = open_model(
        bundle,
        engine=values.engine,
        threads=threads,
        packed_in_file=values.packed_weights,
        calls=calls,
    )
    model.initialize()
    with open(home / command.LOG, "a", buffering=1) as log:
        replica, check = Replica(model), check_of(Path(values.creds))
        say = lambda line: print(line, file=log)  # noqa: E731
        return answer(Client(folder, replica, data, check, say, promise_of(values)), question)
