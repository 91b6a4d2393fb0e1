"""A model on the Hub as a source: its small files at once, its weights when they are opened."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pocketllm.runtime.errors import InputError

from ..checkpoint.other_files import EXPECTED, other_among
from ..checkpoint.reader import Checkpoint, open_checkpoint
from ..checkpoint.source_files import CONFIG_FILE
from ..hub.download import Bar, fetch
from ..hub.files import shard_names, small_names, weights_name
from ..hub.library import endpoint, quiet
from ..hub.names import HubName, hub_name
from ..hub.repository import Repository, lacking, remember, resolve
from .folder import folder_source
from .source import Source

WEIGHTS = "its weights"


def name_on_hub(model: str, revision: str | None) -> HubName | None:
    """Returns what --model names on the Hub; None where it is no such name."""
    return hub_name(model, revision, endpoint())


def hub_source(name: HubName, say: Callable[[str], None], bar: Bar) -> Source:
    """Returns the source of a model on the Hub; its config and tokenizer are downloaded.

    Args:
      name: of the model.
      say: gets a line about what was taken.
      bar: opens a progress bar for a download.

    Raises:
      InputError: no such model, no access, or no config.json.
      RunError: the network, the Hub or the disk fails.
    """
    with quiet():
        repository = resolve(name, say)
        if repository.files is not None:
            if CONFIG_FILE not in repository.files:
                raise InputError(
                    f"--model={name.repo}: no {CONFIG_FILE} in this model of the Hub; "
                    f"{_instead(repository) or 'give one that transformers loads'}"
                )
            small = small_names(repository.files)
            fetch(repository, [repository.files[file] for file in small], bar)
            remember(repository)
    say(f"{name.repo}, commit {repository.commit}")
    return replace(
        folder_source(repository.folder, name.repo),
        open_weights=partial(_open_weights, repository, bar),
        commit=repository.commit,
    )


def _open_weights(repository: Repository, bar: Bar) -> Checkpoint:
    """Downloads the weights, in the first format of the reader's that there is, and opens them."""
    with quiet():
        if repository.files is None:
            _check_cached(repository)
        else:
            _fetch_weights(repository, bar)
    return open_checkpoint(repository.folder)


def _fetch_weights(repository, bar):
    files, repo = repository.files, repository.name.repo
    first = weights_name(files)
    if first is None:
        raise InputError(
            f"--model={repo}: no weights that can be read in this model of the Hub; "
            f"{_instead(repository) or f'expected {EXPECTED}'}"
        )
    fetch(repository, [files[first]], bar)
    shards = shard_names(repository.folder / first)
    missing = [shard for shard in shards if shard not in files]
    if missing:
        raise InputError(f"--model={repo}: {first} names {missing[0]}, which the Hub does not have")
    fetch(repository, [files[shard] for shard in shards], bar)


def _check_cached(repository):
    """Raises what says that the weights are not, or not all, in the cache."""
    folder = repository.folder
    first = weights_name([path.name for path in folder.iterdir() if path.is_file()])
    if first is None:
        raise lacking(repository, WEIGHTS)
    for shard in shard_names(folder / first):
        if not (folder / shard).is_file():
            raise lacking(repository, shard)


def _instead(repository):
    return other_among(name for name in repository.files if "/" not in name)
