"""The ClientApp: a process that answers one message, from its run directory and its data."""

import json
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError, RunError

from ..answering import answer
from ..commands import client as command
from ..commands import gateway
from ..commands.private_flags import promise_of
from ..commands.shared import open_client
from ..flower.carrier import DATA, RECORD, data_of
from ..flower.keys import check_of
from ..protocol import read_question, refusal_in


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
    check = check_of(Path(values.creds))
    with open(home / command.LOG, "a", buffering=1) as log:
        say = partial(print, file=log)
        if values.via == gateway.DEVICE:
            read_question(question, check)  # the phone has no library for signatures
            with redirect_stdout(log), redirect_stderr(log):
                data = _from_phone(values, question)
        else:
            data = _from_here(values, question, check, say)
        if reason := refusal_in(data):
            say(f"{command.REFUSED}{reason}")
        return data


def _from_here(values, question, check, say):
    """Returns this machine's answer."""
    bundle = read_bundle(values.bundle)
    data = load_dataset(values.train, bundle, training=True)
    promise = promise_of(values)
    client = open_client(values, bundle, data, check=check, say=say, promise=promise)
    return answer(client, question)


def _from_phone(values, question):
    """Returns the phone's answer; what goes wrong stands in the log too."""
    try:
        return gateway.carried(gateway.reopened(values), question)
    except (InputError, RunError) as error:
        print(error)
        raise
