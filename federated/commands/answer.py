"""Answers one question of a federation's server, from a file, and ends.

`pocketllm federate client --via=device` runs it on the phone. Whatever brings the question checks
whose it is. Without --question only bundle and data are checked. Nothing of the data is printed:
why it cannot be used is written to RUN/refused.txt.

example:
  pocketllm federate answer --bundle=mine --train=part.tsv --run=mine-part --question=question \\
      --json=answer.json
"""

from functools import partial
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import define_session_flags, open_bundle, required
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import make_folders, write_bytes

from ..answering import answer
from ..protocol import refusal_in
from .shared import open_client

REFUSED = "refused.txt"

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("train", None, "this client's data, which stays here")
define.string("run", None, "run directory of this client")
define.string("question", None, "file of the question; none: check bundle and data")


def run(values) -> dict:
    """Answers; see the module's docstring."""
    required(values, "bundle", "train", "run")
    bundle, folder = open_bundle(values), Path(values.run)
    try:
        data = load_dataset(values.train, bundle, training=True)
    except InputError as error:
        make_folders(folder)
        write_bytes(folder / REFUSED, f"{error}\n".encode())
        raise InputError(
            f"--train={values.train}: not used; {folder / REFUSED} says why, there alone because "
            "it may quote the data"
        ) from error
    client = open_client(values, bundle, data, say=partial(print, flush=True))
    if not values.question:
        return {"run": str(folder)}
    try:
        question = Path(values.question).read_bytes()
    except OSError as error:
        raise InputError(f"--question={values.question}: {error.strerror}") from error
    data = answer(client, question)
    if reason := refusal_in(data):
        print(f"{folder}: refused: {reason}", flush=True)
    return {"run": str(folder), "answer": data.hex()}
