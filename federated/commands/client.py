"""Answers a federation's server with losses on this machine's data, until Ctrl-C.

It starts Flower's SuperNode. Each message is a process of its own, which catches up from the
server's records, measures, answers and ends. RUN has the client's journal: `pocketllm eval` takes
it. A wiped RUN recovers by itself. The same command goes on after a kill.

With --via=device a phone answers: bundle and image were pushed (`pocketllm device push`), the data
is --device_data, and RUN names the run there too (`pocketllm device pull` copies its journal).

examples:
  pocketllm federate client --bundle=mine --train=part.tsv --run=mine-part --creds=creds/client-0 \\
      --server=192.168.1.10:8000
  pocketllm federate client --via=device --bundle=mine --device_data=/sdcard/notes.tsv \\
      --run=my-phone --creds=creds/client-1 --server=192.168.1.10:8000
"""

import time
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import define_session_flags, open_bundle, required
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.files import make_folders, write_json
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.folder import CONFIG

from ..flower.addresses import ANY, address_of, free_port
from ..flower.app import folder_setting
from ..flower.key_checks import check_client
from ..flower.keys import AUTHORITY, CLIENT_KEY
from ..flower.log_lines import LogLines
from ..flower.present import check_flower
from ..flower.processes import last_log_line, started
from ..privacy.accountant import check_installed
from .gateway import DEVICE, define_gateway_flags, open_gateway
from .private_flags import define_promise_flags, promise_of

HOME, CALLED, LOG = "flower", "called.json", "client.log"
REFUSED = "the server's question is refused: "  # begins a line of the log
AGAIN_SECONDS, POLL_SECONDS = 5.0, 0.5
ANSWER_SECONDS = 5.0  # for the refusal to reach the server

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("train", None, "this client's data, which stays here")
define.string("run", None, "run directory of this client")
define.string("creds", None, "this client's folder of keys")
define_promise_flags(FLAGS)
define.string("server", "127.0.0.1:8000", "address of the server")
define_gateway_flags(FLAGS)


def run(values) -> dict:
    """Answers; see the module's docstring."""
    required(values, "bundle", "run", "creds")
    check_flower()
    bundle, folder, creds = open_bundle(values), Path(values.run), Path(values.creds).absolute()
    host, port = address_of(values.server, "server")
    if host == ANY:
        raise InputError(
            f"--server={values.server}: the server listens at all its addresses; give one of them"
        )
    setting = folder_setting(folder)
    if (folder / CONFIG).exists():
        raise InputError(
            f"{folder}: a federation's server or `pocketllm train` has its run there; choose "
            "another --run"
        )
    check_client(creds)
    given = _of_device(values, bundle) if values.via == DEVICE else _of_here(values, bundle)
    is_same = values.via == DEVICE or _is_of(folder, bundle)  # a phone's journal is on the phone
    given |= {name: getattr(values, name) for name in ("engine", "threads", "packed_weights")}
    paths = {"bundle": values.bundle, "run": folder, "creds": creds}
    given |= {name: str(Path(path).absolute()) for name, path in paths.items()}
    home = folder.absolute() / HOME
    make_folders(home)
    write_json(home / CALLED, {"arguments": [f"--{n}={v}" for n, v in given.items()]})
    arguments = [
        f"--superlink={host}:{port}", f"--port={free_port()}",
        f"--root-certificates={creds / AUTHORITY}",
        f"--auth-supernode-private-key={creds / CLIENT_KEY}",
        "--node-config", setting,
    ]  # fmt: skip
    times, log = 0, LogLines(home / LOG)
    try:
        while True:
            times += 1
            with started("flower-supernode", arguments, home / "node") as node:
                while node.poll() is None:
                    signals.check()
                    time.sleep(POLL_SECONDS)
                    for line in log.new():
                        if line.startswith(REFUSED):
                            print(line, flush=True)
                    is_same = is_same or _is_of(folder, bundle, ANSWER_SECONDS)
            print(f"{home / 'node.log'}: {last_log_line(home / 'node')}; it is started again")
            time.sleep(AGAIN_SECONDS)
    except KeyboardInterrupt:
        signals.clear()
    return {"run": str(folder), "started": times}


def _is_of(folder, bundle, seconds=0.0) -> bool:
    """Whether the run's journal is there, and its federation trains the bundle.

    Raises InputError, so many seconds later, where it trains another one.
    """
    if not (folder / JOURNAL).exists():
        return False
    try:
        trained = str(read_journal(folder / JOURNAL).header.get("bundle_checksum"))
    except InputError:
        return False  # damaged: the next answer puts it aside
    if trained == bundle.checksum:
        return True
    time.sleep(seconds)
    raise InputError(
        f"{folder}: the federation trains bundle {trained[:12]}…, --bundle has "
        f"{bundle.checksum[:12]}… (checksums, see `pocketllm inspect`); give the same bundle, or "
        "choose another --run"
    )


def _of_here(values, bundle) -> dict:
    """Checks this machine's data; returns the flags that an answer from it needs."""
    required(values, "train")
    for name in ("device_data", "serial"):
        if values[name].value:
            raise InputError(f"--{name} goes with --via=device; give that, or leave it out")
    print(load_dataset(values.train, bundle, training=True).describe(), flush=True)
    given = {"train": str(Path(values.train).absolute())}
    if promise_of(values):
        check_installed()
        names = ("private", "delta", "private_level")
        given |= {name: getattr(values, name) for name in names}
    return given


def _of_device(values, bundle) -> dict:
    """Checks the phone; returns the flags that an answer from it needs."""
    promise_of(values)  # refuses what means nothing without --private, which a phone cannot have
    phone = open_gateway(values, bundle).phone
    print(f"{phone.serial}: answers from {values.device_data}, which stays there", flush=True)
    names = ("via", "device_data", "reconnect_seconds")
    return {name: getattr(values, name) for name in names} | {"serial": phone.serial}
