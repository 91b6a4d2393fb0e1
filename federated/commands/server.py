"""Serves a federation: clients measure, the server joins what they answer into an ordinary run.

It starts Flower's SuperLink with TLS, registers the clients' keys of --creds, and waits for their
SuperNodes. Only this machine can reach it unless --listen names another address. The same command
goes on after a kill of anything. Ctrl-C ends it after the round under way.

example:
  pocketllm federate server --bundle=mine --run=fed --creds=creds/server --steps=400 --lr=1e-4 \\
      --round_steps=16 --min_clients=3
"""

import json
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.shared import open_bundle, required
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.files import read_json, write_bytes, write_json
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.folder import start_or_continue

from ..flower.addresses import ANY, LOOPBACK, address_of, check_free
from ..flower.app import folder_setting, write_app
from ..flower.key_checks import check_named, check_server, public_keys
from ..flower.keys import AUTHORITY, CERTIFICATE, KEY, PUBLIC
from ..flower.log_lines import LogLines
from ..flower.nodes import named, register
from ..flower.present import check_flower
from ..flower.processes import call, is_flower, started, wait_until_open
from ..simulation.settings import SIMULATION
from .private_flags import People
from .shared import define_federation_flags, federation_of

HOME = "flower"  # in the run directory: Flower's files
CALLED, ALIVE, ENDED, LOG = "called.json", "alive", "ended.json", "server.log"
POLL_SECONDS, AGAIN_SECONDS, LEFT_SECONDS = 0.5, 15.0, 60.0
MOST_FAILURES = 5  # of Flower's programs in a row, without a step between
CONNECTION = "here"

FLAGS = flags.FlagValues()
flags.DEFINE_string("bundle", None, "bundle folder, from `pocketllm export`", flag_values=FLAGS)
flags.DEFINE_string("creds", None, "the server's folder of keys", flag_values=FLAGS)
flags.DEFINE_string("listen", "127.0.0.1:8000", "address to listen at", flag_values=FLAGS)
define_federation_flags(FLAGS)
flags.DEFINE_integer(
    "least_examples",
    0,
    "examples that a client must have, with --private: clients with fewer refuse",
    flag_values=FLAGS,
)

OPEN = (
    "warning: --listen={address}: whoever reaches this port can start runs on the SuperLink, which "
    "every client then executes (Flower has no accounts on its Control API, and one port for all); "
    "keep it on loopback behind a proxy that lets only /v1/fleet/ through, or in a private network"
)


def run(values) -> dict:
    """Serves; see the module's docstring."""
    required(values, "bundle", "run", "creds", "steps")
    check_flower()
    bundle, folder, creds = open_bundle(values), Path(values.run), Path(values.creds).absolute()
    host, port = address_of(values.listen, "listen")
    if ":" in host:
        raise InputError(f"--listen={values.listen}: of IPv6; give a name or an address of IPv4")
    folder_setting(folder)
    check_server(creds)
    check_named(creds, _reached(host), values.listen)
    if values.private is None and values["least_examples"].present:
        raise InputError("--least_examples goes with --private; give an epsilon, or leave it out")
    config, _ = federation_of(values, bundle, people_of(values))
    _check_keys(creds, values.min_clients)
    if (folder / SIMULATION).exists():
        raise InputError(f"{folder}: a run of `pocketllm federate simulate`; choose another --run")
    home = folder.absolute() / HOME
    wait = LEFT_SECONDS if (home / CALLED).exists() else 0.0  # for what a killed command left

    with run_lock(folder, wait):
        steps = len(start_or_continue(folder, config))
    if config.private:
        print(config.private.describe(), flush=True)
    if host not in LOOPBACK:
        print(OPEN.format(address=values.listen), flush=True)
    if steps < values.steps:
        _wait_until_free(host, port, wait)
        _prepare(values, home, creds, host, port)
        _supervise(values, folder, home, creds, host=host, port=port)
    steps = _count(folder)
    print(f"{folder}: {steps} of {values.steps} steps")
    return {"run": str(folder), "last_step": steps}


def people_of(values) -> People:
    """Returns who may take part: a client for each key in the server's folder."""
    keys = len(public_keys(Path(values.creds)))
    return People(max(1, keys), values.least_examples)


def _check_keys(creds, least):
    """Raises InputError where fewer clients can join than a round needs."""
    keys = len(public_keys(creds))
    if keys < max(1, least):
        raise InputError(
            f"--min_clients={least}: {creds / PUBLIC} has the keys of {keys} clients, and nobody "
            "else can join; give fewer, or make keys with `pocketllm federate keys`"
        )


def _wait_until_free(host, port, seconds):
    """Returns once nobody listens at an address; raises InputError where somebody still does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return check_free(host, port, "listen")
        except InputError:
            if time.monotonic() > end:
                raise
        time.sleep(POLL_SECONDS)


def _prepare(values, home, creds, host, port):
    """Writes what Flower's processes read."""
    names = [name for name in values if values[name].present and name != "json"]
    given = {name: getattr(values, name) for name in names}
    given |= {"bundle": str(Path(values.bundle).absolute()), "creds": str(creds)}
    arguments = [f"--{name}={_text(value)}" for name, value in given.items()]
    write_json(home / CALLED, {"arguments": arguments})
    authority = json.dumps(str(creds / AUTHORITY), ensure_ascii=False)  # quoted as TOML does
    connection = f'address = "{_reached(host)}:{port}"\nroot-certificates = {authority}\n'
    text = f'[superlink]\ndefault = "{CONNECTION}"\n[superlink.{CONNECTION}]\n{connection}'
    write_bytes(home / "cli" / "config.toml", text.encode())
    write_app(home / "app")


def _text(value):
    return ",".join(value) if isinstance(value, list) else value


def _reached(host):
    return "127.0.0.1" if host == ANY else host


def _supervise(values, folder, home, creds, *, host, port):
    """Keeps a SuperLink and a run on it until the steps are there, or a signal comes."""
    arguments = [
        f"--host={host}", f"--port={port}", f"--database={home / 'state.db'}",
        f"--ssl-ca-certfile={creds / AUTHORITY}", f"--ssl-certfile={creds / CERTIFICATE}",
        f"--ssl-keyfile={creds / KEY}", "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    for name in (ALIVE, ENDED):
        with suppress(FileNotFoundError):
            os.unlink(home / name)
    with Progress("training", values.steps, "step") as bar:
        shown = failures = 0
        while shown < values.steps:
            before = shown
            with ExitStack() as stack:
                link = stack.enter_context(started("flower-superlink", arguments, home / "link"))
                try:
                    wait_until_open(link, _reached(host), port, home / "link")
                    register(public_keys(creds), CONNECTION, home)
                    _follow(values, folder, home, link, bar, shown=shown)
                except KeyboardInterrupt:
                    signals.clear()
                    return
                except RunError as error:
                    shown = _count(folder)
                    failures = failures + 1 if shown == before else 1
                    if _ended(home) or failures >= MOST_FAILURES:
                        raise
                    bar.say(f"{error}; the SuperLink is started again")
                    continue
            shown = _count(folder)


def _count(folder):
    return len(read_journal(folder / JOURNAL).steps)


def _follow(values, folder, home, link, bar, *, shown) -> None:
    """Starts the run, again where it died, until all steps are there."""
    last, log = -AGAIN_SECONDS, LogLines(home / LOG)
    while link.poll() is None:
        signals.check()
        steps = _count(folder)
        bar.advance(steps - shown)
        shown = steps
        is_there, error = is_alive(home), _ended(home)
        for line in log.new():  # behind the look at its end, so that no line is missed
            bar.say(named(line, home))
        if steps >= values.steps and not is_there:
            return
        if error:
            raise (InputError if error["is_input"] else RunError)(named(error["error"], home))
        if not is_there and time.monotonic() - last > AGAIN_SECONDS and steps < values.steps:
            place = ["--run-config", folder_setting(folder)]
            call(["run", str(home / "app"), CONNECTION, *place], home / "cli")
            last = time.monotonic()
        time.sleep(POLL_SECONDS)
    raise RunError(f"{home / 'link.log'}: the SuperLink ended")


def is_alive(home: Path) -> bool:
    """Whether the ServerApp's process is there."""
    try:
        return is_flower(int((home / ALIVE).read_text()))
    except (OSError, ValueError):
        return False


def _ended(home):
    """Returns why the ServerApp ended, None where it did not say."""
    path = home / ENDED
    return read_json(path, "run the same command again") if path.exists() else None
