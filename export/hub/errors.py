"""What the Hub and its library answer, in one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # HTTPX's, which is not ours to name
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pocketllm.runtime.errors import InputError, RunError, first_line
from pocketllm.runtime.host.files import NO_SPACE

from .hints import hint_of
from .library import cache, endpoint
from .names import WRITE, HubName

LOG_IN = "give a token that may read it (HF_TOKEN, or `hf auth login`)"
AGAIN = "what has come stays: run the same command again"
# HF_HOME would move nothing where HF_HUB_CACHE is set, which decides.
ELSEWHERE = "free some space, or set HF_HUB_CACHE to another folder, and run the same command again"


class AwayError(RunError):
    """The Hub cannot be reached, or is not able to answer: what the cache holds may do."""


@contextmanager
def in_our_words(name: HubName) -> Iterator[None]:
    """Turns what the library raises into errors of ours, of one line.

    Raises:
      InputError: the Hub has no such model, or does not give it to this user.
      AwayError: it did not answer.
      RunError: the disk is full, the cache cannot be written, the answer makes no sense.
    """
    try:
        yield
    except (InputError, RunError):
        raise
    except HfHubHTTPError as error:
        raise _refusal(name, error) from error
    except HTTPError as error:
        raise AwayError(
            f"the Hub ({endpoint()}) cannot be reached ({cause_of(error)}); check the network, "
            "HTTPS_PROXY and HF_ENDPOINT"
        ) from error
    except HFValidationError as error:
        raise InputError(f"--model={name.repo}: no name on the Hub ({error}); {WRITE}") from error
    except LocalEntryNotFoundError as error:
        cause = error.__cause__ or error
        raise AwayError(f"the Hub ({endpoint()}) broke off ({cause_of(cause)}); {AGAIN}") from error
    except OSError as error:
        raise _disk(error) from error
    except UnicodeEncodeError as error:  # of a header
        raise InputError(
            f"--model={name.repo}: the token holds {error.object[error.start]!r}, which no token "
            "does; set HF_TOKEN to a valid one, or `hf auth login` again"
        ) from error
    except Exception as error:  # an answer that is none of the Hub's: a page of a proxy, say
        raise RunError(
            f"--model={name.repo}: {endpoint()} does not answer as the Hub does "
            f"({type(error).__name__}: {first_line(error)}); check HF_ENDPOINT and HTTPS_PROXY"
        ) from error


def _refusal(name, error):
    """Returns the error for an answer that is a status of HTTP."""
    repo, status = name.repo, error.response.status_code
    page = f"{endpoint()}/{repo}"
    if isinstance(error, RevisionNotFoundError):
        return InputError(
            f"--revision={name.revision}: no branch, tag or commit of {repo} on the Hub; "
            f"{page}/tree/main lists them"
        )
    if isinstance(error, GatedRepoError):
        then = "wait until access is granted" if _has_token() else LOG_IN
        return InputError(
            f"--model={repo}: a gated model: accept its conditions at {page}, then {then}"
        )
    if isinstance(error, DisabledRepoError):
        return InputError(f"--model={repo}: the Hub has disabled this model; give another one")
    if isinstance(error, RemoteEntryNotFoundError):
        return RunError(f"--model={repo}: the Hub lists a file that it does not have; {AGAIN}")
    if status == 401 and _has_token() and not isinstance(error, RepositoryNotFoundError):
        return InputError(
            f"--model={repo}: the Hub does not take the token ({_answer(error)}); set HF_TOKEN to "
            "a valid one, or `hf auth login` again"
        )
    if status in (401, 404) or isinstance(error, RepositoryNotFoundError):
        return InputError(
            f"--model={repo}: neither a folder, a preset nor a model on the Hub ({endpoint()} "
            f"answers {status}){hint_of(name)}; if it is private, {LOG_IN}"
        )
    if status == 403:
        return InputError(f"--model={repo}: the Hub refuses access ({_answer(error)}); {LOG_IN}")
    if status == 429:
        return AwayError(
            f"the Hub ({endpoint()}) limits the rate of requests (429{_waiting(error)}); wait, or "
            "log in (`hf auth login`) for a higher limit, and run the same command again"
        )
    if status >= 500 or status == 408:
        return AwayError(f"the Hub ({endpoint()}) fails ({_answer(error)}); try again later")
    return RunError(f"--model={repo}: the Hub ({endpoint()}) refuses ({_answer(error)})")


def _has_token():
    try:
        return bool(get_token())
    except Exception:  # of a login that cannot be read; the refusal is what is explained
        return False


def _answer(error):
    """Returns the status and what the server says of it."""
    text = " ".join((error.server_message or "").split())[:160]
    return f"{error.response.status_code}{f': {text}' if text else ''}"


def _waiting(error):
    seconds = error.response.headers.get("Retry-After", "")
    return f", for {seconds} s" if seconds.isdigit() else ""


def cause_of(error):
    """Returns the kind and the text of a failure of the network."""
    text = first_line(error) if str(error) else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _disk(error):
    place = error.filename or cache()
    if error.errno in NO_SPACE:
        return RunError(f"{place}: the disk is full; {ELSEWHERE}")
    return RunError(
        f"{place}: the Hub's cache cannot be written: {error.strerror or first_line(error)}; set "
        f"{'HF_HOME' if Path(place).name == 'token' else 'HF_HUB_CACHE'} to a folder that can"
    )
