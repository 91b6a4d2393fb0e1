"""What names a model on the Hub: OWNER/NAME, with a revision; the Hub's addresses too."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pocketllm.runtime.errors import InputError

MAIN = "main"
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
# Of users, organisations and models; `validate_repo_id` of the library knows the exceptions.
PART = r"[A-Za-z0-9][\w.-]*"
NAME = re.compile(rf"(?P<repo>{PART}/{PART})(@(?P<revision>\S+))?")
COMMIT = re.compile("[0-9a-f]{40}")
# Kinds of repositories that are no models, as they stand in addresses.
OTHER_KINDS = {"datasets": "a dataset", "spaces": "a space", "kernels": "a kernel"}
# What stands between a repository and a revision in the address of a page.
PAGES = ("tree", "blob", "resolve", "raw", "commit", "blame")
WRITE = "write --model=OWNER/NAME, with --revision for another state than main"


@dataclass(frozen=True)
class HubName:
    """A model on the Hub.

    Attributes:
      repo: OWNER/NAME.
      revision: a branch, a tag or a commit.
    """

    repo: str
    revision: str = MAIN

    def __str__(self):
        return self.repo if self.revision == MAIN else f"{self.repo} at {self.revision}"


def hub_name(text: str, revision: str | None, endpoint: str) -> HubName | None:
    """Reads what --model may say of a model on the Hub.

    Args:
      text: OWNER/NAME, OWNER/NAME@REVISION, or the address of its page.
      revision: of --revision.
      endpoint: the Hub's address; another server's names its pages as the Hub does.

    Returns:
      None where it is no such name.

    Raises:
      InputError: the address of something else, or two revisions.
    """
    path = _path_in_address(text, endpoint)
    if path is not None:
        repo, named = _in_path(text, path)
    else:
        match = NAME.fullmatch(text)
        if match is None:
            if text.split("/")[0] in OTHER_KINDS and text.count("/") == 2:
                raise InputError(_other_kind(text, text.split("/")[0]))
            return None
        repo, named = match["repo"], match["revision"]
    if named and revision and named != revision:
        raise InputError(
            f"--model={text} names the revision {named}, --revision={revision} another; give one"
        )
    return HubName(repo, revision or named or MAIN)


def _path_in_address(text, endpoint):
    """Returns what stands behind the Hub's host in an address; None for anything else."""
    if text.startswith("hf://"):
        return text.removeprefix("hf://").removeprefix("models/")
    if endpoint and text.startswith(f"{endpoint}/"):
        return urlsplit(text.removeprefix(f"{endpoint}/")).path
    bare = "://" not in text
    address = urlsplit(f"https://{text}" if bare else text)
    if address.scheme not in ("http", "https"):
        return None
    if address.hostname not in HOSTS:
        if bare:
            return None
        raise InputError(f"--model={text}: no address of the Hub; {WRITE}")
    return address.path


def _in_path(text, path):
    """Returns (OWNER/NAME, revision or None) of the path of an address."""
    parts = [unquote(part) for part in path.split("/") if part]
    if parts and parts[0] in OTHER_KINDS:
        raise InputError(_other_kind(text, parts[0]))
    match = NAME.fullmatch("/".join(parts[:2]))
    if match is None:
        raise InputError(f"--model={text}: names no model on the Hub; {WRITE}")
    revision = match["revision"]
    if len(parts) > 3 and parts[2] in PAGES:
        revision = parts[3]
        if revision == "refs" and len(parts) > 5:  # refs/pr/1, written out
            revision = "/".join(parts[3:6])
    return match["repo"], revision


def _other_kind(text, kind):
    return f"--model={text}: {OTHER_KINDS[kind]} on the Hub, expected a model; {WRITE}"
