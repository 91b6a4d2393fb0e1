"""A server that speaks the Hub's protocol, and the real library turned to it."""

import time
from types import SimpleNamespace

import pytest
from hub_models import COMMIT, FILES, OLDER
from hub_server import Repo, hub_server


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with the model some/tiny; the library asks it, with a cache of its own."""
    from huggingface_hub import close_session, constants, file_download

    from pocketllm.export.hub import download, patience

    # They wait a second before they go on.
    at_once = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    for module in (file_download, download, patience):
        monkeypatch.setattr(module, "time", at_once)
    with hub_server() as server:
        server.repos["some/tiny"] = Repo(
            {OLDER: FILES | {"config.json": b'{"model_type": "opt"}'}, COMMIT: FILES},
            refs={"v1": OLDER, "refs/pr/1": OLDER},
        )
        template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for name, value in {
            "ENDPOINT": server.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN_PATH": str(tmp_path / "hf" / "token"),
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        yield server
        close_session()


@pytest.fixture
def offline(monkeypatch):
    """Turns the library's offline mode on."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def snapshot(tmp_path):
    """Where the files of a commit of some/tiny lie in the cache."""
    return lambda commit=COMMIT: (
        tmp_path / "hf" / "hub" / "models--some--tiny" / "snapshots" / commit
    )
