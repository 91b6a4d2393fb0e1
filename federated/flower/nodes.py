"""Whose key a node of Flower's has: Flower numbers its nodes, people know their clients' names."""

import re
from collections.abc import Sequence
from pathlib import Path

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import read_json, write_json

from .processes import call

NODES = "nodes.json"  # {node: name of its key}


def register(keys: Sequence[Path], connection: str, home: Path) -> None:
    """Registers clients' public keys, and notes their nodes; those that are known already stay.

    Args:
      keys: files of public keys.
      connection: name of the SuperLink's, in Flower's configuration.
      home: folder of Flower's files.

    Raises:
      RunError: the SuperLink does not take a key.
    """
    names = _names(home)
    for path in keys:
        try:
            printed = call(["supernode", "register", str(path), connection], home / "cli")
        except RunError as error:
            if "already" not in str(error):
                raise
        else:
            if node := re.search(r"SuperNode (\d+)", printed):
                names[node[1]] = path.stem
    write_json(home / NODES, names)


def named(text: str, home: Path) -> str:
    """Returns a text whose clients have the names of their keys, where these are known."""
    names = _names(home)

    def name(match):
        known = names.get(match[1])
        return f"{known} (client {match[1]})" if known else match[0]

    return re.sub(r"\bclient (\d+)\b", name, text)


def _names(home):
    path = home / NODES
    return read_json(path, "remove it") if path.exists() else {}
