"""A model on the Hub at one commit: what it holds, or what the cache has of it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import write_bytes

from ..checkpoint.source_files import CONFIG_FILE
from .errors import AwayError, in_our_words
from .files import HubFile
from .hints import near
from .library import LIBRARY_NAME, cache_of, is_offline, seconds
from .names import COMMIT, MAIN, HubName
from .patience import patiently

OFFLINE = "HF_HUB_OFFLINE keeps this command from the network"


@dataclass(frozen=True)
class Repository:
    """A model at one commit.

    Attributes:
      name: what was asked for.
      commit: the 40 digits of its commit.
      files: {name: file} that the Hub lists; None where only the cache can be used.
      away: why only the cache can be used; "" where the Hub answers.
    """

    name: HubName
    commit: str
    files: dict[str, HubFile] | None = None
    away: str = ""

    @property
    def folder(self) -> Path:
        """Where its files lie in the cache, those that were downloaded."""
        return cache_of(self.name.repo) / "snapshots" / self.commit


def resolve(name: HubName, say: Callable[[str], None]) -> Repository:
    """Asks the Hub for a model's commit and files, the cache where the Hub cannot be reached.

    Raises:
      InputError: no such model or revision, no access, or offline and not in the cache.
      RunError: the Hub does not answer, and the cache has no copy.
    """
    if is_offline():
        repository = _cached(name, OFFLINE)
        if repository is None:
            raise _unknown(name, OFFLINE)
        return repository
    try:
        return _listed(name)
    except AwayError as error:
        repository = _cached(name, str(error))
        if repository is None:
            raise _unknown(name, str(error)) from error
        say(f"{error}; {name} is taken from the cache, commit {repository.commit[:12]}")
        return repository


def lacking(repository: Repository, what: str) -> InputError | RunError:
    """Returns the error for a file that the cache lacks while the Hub is out of reach."""
    folder = repository.folder
    return _away(f"{folder}: the Hub's cache does not hold {what}", repository.away)


def _unknown(name, away):
    """Returns the error for a model of which the cache has nothing."""
    cache = cache_of(name.repo).parent
    if name.revision == MAIN or not cache_of(name.repo).is_dir():
        problem = f"--model={name.repo}: neither a folder nor a preset, nor in the Hub's cache"
        return _away(f"{problem} ({cache}){near(name.repo)}", away)
    return _away(f"--revision={name.revision}: not in the Hub's cache of {name.repo}", away)


def _away(problem, away):
    if away == OFFLINE:
        return InputError(f"{problem}; {OFFLINE}: unset it, or give what lies here")
    return RunError(f"{problem}; {away}")


def remember(repository: Repository) -> None:
    """Notes in the cache which commit a branch or a tag is, for times without a network."""
    revision = repository.name.revision
    if COMMIT.fullmatch(revision) or not _stays_below(revision):
        return
    path = cache_of(repository.name.repo) / "refs" / revision
    with suppress(OSError, InputError, RunError):  # a cache that is only read
        if not path.is_file() or path.read_text() != repository.commit:
            write_bytes(path, repository.commit.encode())


def _listed(name):
    with in_our_words(name):
        api = HfApi(library_name=LIBRARY_NAME)
        info = patiently(
            lambda: api.model_info(
                name.repo, revision=name.revision, timeout=seconds(), files_metadata=True
            )
        )
        commit = info.sha or ""
        if not COMMIT.fullmatch(commit):
            raise ValueError(f"commit {info.sha!r}")
        files = patiently(lambda: {file.name: file for file in _files(api, name.repo, info)})
    return Repository(name, commit, files)


def _files(api, repo, info):
    """Yields what the Hub lists of a commit; its own servers list it with the description.

    A name that leads out of the model's folder is no file of a model.
    """
    listed = info.siblings or api.list_repo_tree(repo, recursive=True, revision=info.sha)
    for entry in listed:
        name = getattr(entry, "rfilename", None) or entry.path
        if not _stays_below(name):
            continue
        if getattr(entry, "lfs", None) is not None:
            yield HubFile(name, entry.lfs.size, entry.lfs.sha256)
        elif hasattr(entry, "blob_id"):  # a folder has none
            yield HubFile(name, entry.size, git_sha1=entry.blob_id)


def _stays_below(name):
    """Whether a name that a server or a user gave names something below the folder it is put in."""
    return set(name.split("/")).isdisjoint(("", ".", ".."))


def _cached(name, away):
    """Returns what the cache has of a model; None where it lacks its config.json."""
    commit = name.revision
    if not COMMIT.fullmatch(commit):
        try:
            commit = (cache_of(name.repo) / "refs" / commit).read_text().strip()
        except (OSError, ValueError):
            return None
    repository = Repository(name, commit, away=away)
    return repository if (repository.folder / CONFIG_FILE).is_file() else None
