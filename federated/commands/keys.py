"""Makes the keys of a federation: a certificate for the server, and a key for each client.

CREDS/server stays with the server, CREDS/client-N goes to client N, by hand. A client without a key
that the server has is refused. Certificates are valid for a year.

example:
  pocketllm federate keys --out=creds --clients=3 --host=192.168.1.10
"""

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required

from ..flower.addresses import check_host
from ..flower.keys import write_keys
from ..flower.present import check_flower
from .shared import new_folder

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write")
define.integer("clients", None, "number of clients", 1)
define.list("host", [], "names and addresses that clients call the server by, with commas")


def run(values) -> dict:
    """Makes keys; see the module's docstring."""
    required(values, "out", "clients")
    check_flower()
    if values["host"].present and not values.host:
        check_host("", "host")
    out = new_folder(values.out)
    write_keys(out, values.clients, values.host)
    print(f"{out}: keys of a server and {values.clients} clients; give each client its own folder")
    return {"out": str(out), "clients": values.clients}
