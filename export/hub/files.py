"""Which files of a repository a model is made of: the small ones, and the weights in one format."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint.reader import FORMATS, INDEX, PICKLED_INDEX
from ..checkpoint.source_files import CONFIG_FILE, is_small_file


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, as the Hub lists it.

    Attributes:
      name: path inside the repository.
      size: bytes; None where the Hub does not say.
      sha256: of a large file; None where the Hub does not say.
      git_sha1: of any other, as git computes it.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


def small_names(names: Collection[str]) -> list[str]:
    """Returns those that are read beside the weights; config.json is the last.

    A folder of the cache that holds config.json then holds the others too.
    """
    small = sorted(name for name in names if is_small_file(name) and name != CONFIG_FILE)
    return [*small, CONFIG_FILE]


def weights_name(names: Collection[str]) -> str | None:
    """Returns the file, or the index, of the weights that are read; None where there are none."""
    return next((name for name in FORMATS if name in names), None)


def shard_names(index: Path) -> list[str]:
    """Returns the shards that an index names; none where it is no index, or a file of weights."""
    if index.name not in (INDEX, PICKLED_INDEX):
        return []
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (AttributeError, KeyError, OSError, TypeError, ValueError, RecursionError):
        return []  # the reader says what is wrong with it
    return sorted(shard for shard in shards if isinstance(shard, str))
