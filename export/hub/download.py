"""Files of the Hub into the Hub's cache: whole and checked, or on from where a try was cut off."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, cast

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import sha256_of

from .errors import (
    AGAIN,
    ELSEWHERE,
    AwayError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]
    cause_of,
    in_our_words,
)
from .files import HubFile
from .library import LIBRARY_NAME, cache, cache_of, seconds
from .patience import SECONDS, is_passing, patiently
from .repository import Repository

TRIES = 5  # at one file, each goes on where the one before was cut off
# The failures of HTTPX after which `http_get` does not itself go on.
RESETS = ("ReadError", "WriteError", "CloseError")
MOST_TIMES = 4  # a file's bytes, from a server that breaks off and begins anew
# Opens a progress bar over so many bytes; yields what counts them.
Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Shows nothing."""
    yield lambda size: None


def fetch(repository: Repository, files: Iterable[HubFile], bar: Bar) -> None:
    """Brings files of a model into the cache; those that lie there whole cost no request.

    Raises:
      InputError: the Hub does not give them to this user.
      RunError: the network, the server or the disk fails; what came whole stays.
    """
    missing = [file for file in files if not _is_cached(repository, file)]
    if not missing:
        return
    with in_our_words(repository.name):
        total = sum(file.size or 0 for file in missing)
        _check_space(repository, total)
        with bar(total) as count:
            for file in missing:
                _fetch(repository, file, count)


def _is_cached(repository, file):
    """Whether a file is in the cache; one of another size is removed, and its blob there."""
    path = repository.folder / file.name
    try:
        if file.size in (None, path.stat().st_size):
            return True
    except OSError:
        return False
    with suppress(OSError):
        blob = path.resolve()
        if blob.is_relative_to(cache_of(repository.name.repo)):  # not a file of the user's
            blob.unlink()
        path.unlink(missing_ok=True)
    return False


def _check_space(repository, total):
    """Raises RunError where the files will not fit; a cut-off try's bytes count as free."""
    folder = cache()
    while not folder.exists():
        folder = folder.parent
    begun = sum(p.stat().st_size for p in _blobs(repository).glob("*.incomplete"))
    free = shutil.disk_usage(folder).free
    if total > free + begun:
        raise RunError(
            f"{cache()}: {free / 1e9:.2f} GB free, {repository.name.repo} takes another "
            f"{(total - begun) / 1e9:.2f} GB; {ELSEWHERE}"
        )


def _blobs(repository):
    return cache_of(repository.name.repo) / "blobs"


def _fetch(repository, file, count):
    """Downloads one file to its blob, and has the library link it into the snapshot."""
    url = hf_hub_url(repository.name.repo, file.name, revision=repository.commit)
    metadata = patiently(
        lambda: get_hf_file_metadata(url, timeout=seconds(), library_name=LIBRARY_NAME)
    )
    etag = metadata.etag
    if not etag or os.path.basename(etag) != etag:
        raise ValueError(f"ETag {etag!r} of {file.name}")
    if file.size is not None and metadata.size not in (None, file.size):
        raise RunError(
            f"{repository.name.repo}: {file.name} has {metadata.size} bytes, the Hub's list says "
            f"{file.size}; try again later"
        )
    blob = _blobs(repository) / etag
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = cache() / ".locks" / blob.parents[1].name / f"{etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.is_file():
            size = metadata.size if file.size is None else file.size
            _download(url, file, size, blob, count)
    path = patiently(
        lambda: hf_hub_download(
            repository.name.repo,
            file.name,
            revision=repository.commit,
            etag_timeout=seconds(),
            library_name=LIBRARY_NAME,
        )
    )
    if os.path.abspath(path) != str(repository.folder / file.name):
        raise ValueError(f"{file.name} at {path}, expected commit {repository.commit}")


def _download(url, file, size, blob, count):
    """Writes a blob beside its place, on from where the last try ended; checked, then renamed."""
    beside = blob.with_name(f"{blob.name}.incomplete")
    if size is not None and beside.exists() and beside.stat().st_size > size:
        beside.unlink()
    begun = beside.stat().st_size if beside.exists() else 0
    received = _Received(file.name, size, count)
    _receive(url, beside, size, received)
    problem = _problem(beside, file, size)
    if problem and begun:  # what lay there before may be what is wrong
        beside.unlink()
        _receive(url, beside, size, received)
        problem = _problem(beside, file, size)
    if problem:
        beside.unlink()
        raise RunError(f"{file.name}: {problem}; {AGAIN}")
    with open(beside, "rb") as written:
        os.fsync(written.fileno())
    os.replace(beside, blob)


def _receive(url, path, size, received):
    """Receives the rest of a file; goes on a few times where the connection or the server fails."""
    for rest in reversed(range(TRIES)):
        with open(path, "ab") as file:
            received.begin(file.tell())
            try:
                http_get(
                    url,
                    file,
                    resume_size=file.tell(),
                    headers=_headers(),
                    expected_size=size,
                    displayed_filename=path.name,
                    tqdm_class=cast(Any, lambda **_: received),
                )
                return
            except HfHubHTTPError as error:
                if not rest or not is_passing(error):
                    raise
                time.sleep(SECONDS)
            except HTTPError as error:
                if not rest or type(error).__name__ not in RESETS:
                    raise AwayError(
                        f"the connection broke off at {received.name} ({cause_of(error)}); {AGAIN}"
                    ) from error
                time.sleep(SECONDS)
            except OSError as error:
                if error.errno is None:  # another size than expected, which the caller sees
                    return
                raise


def _headers():
    """Returns what every request says; compressed bytes could not be continued."""
    return build_hf_headers(library_name=LIBRARY_NAME) | {"Accept-Encoding": "identity"}


class _Received:
    """What `http_get` calls its progress bar: counts a file's bytes, over all tries."""

    def __init__(self, name, size, count):
        self.name, self._size, self._count = name, size, count
        self._bytes = self._done = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self, done: int) -> None:
        """Says how much of the file lies there already."""
        self._count(done - self._done)
        self._done = done

    def update(self, size: int) -> None:
        """Counts bytes that came; negative ones are to come again."""
        self._done += size
        self._bytes += max(0, size)
        self._count(size)
        if self._size is not None and self._bytes > MOST_TIMES * self._size:
            raise AwayError(f"the connection breaks off again and again at {self.name}; {AGAIN}")


def _problem(path, file, size):
    """Says what is wrong with a file that has come; None for nothing."""
    there = path.stat().st_size
    if size is not None and there != size:
        return f"{there} bytes came, expected {size}"
    if file.sha256 is not None and sha256_of(path) != file.sha256:
        return "its sha256 is not the one that the Hub lists: what came is damaged"
    if file.git_sha1 is not None and _git_sha1(path) != file.git_sha1:
        return "its checksum is not the one that the Hub lists: what came is damaged"
    return None


def _git_sha1(path):
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
