"""A model of the Hub: only what is needed comes, once, into the library's own cache."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_models import COMMIT, FILES, OLDER, SMALL, sharded
from hub_server import Repo

from pocketllm.export.sources.kinds import source_of
from pocketllm.runtime.errors import InputError

pytest_plugins = ["hub_fixtures"]
pytestmark = pytest.mark.desktop

INDEX = "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def _unread_weights(monkeypatch):
    """The weights here are no tensors: what is opened is the folder they lie in."""
    monkeypatch.setattr("pocketllm.export.sources.hub.open_checkpoint", lambda folder: folder)


def test_the_small_files_come_at_once_and_the_weights_when_they_are_opened(hub, snapshot):
    source = source_of("some/tiny")

    assert hub.files() == SMALL
    assert source.name == "some/tiny" and source.commit == COMMIT
    assert source.tokenizer == snapshot() and source.config_path == snapshot() / "config.json"
    assert source.read_config() == {"model_type": "roberta"}
    assert source.small_files().name == "some/tiny"
    assert source.small_files().files == {name: FILES[name] for name in SMALL}

    assert source.open_weights() == snapshot()
    assert hub.files() == [*SMALL, "model.safetensors"]
    assert (snapshot() / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_description_without_its_files_is_followed_by_their_list(hub, snapshot):
    hub.siblings = False

    source_of("some/tiny").open_weights()

    assert f"/api/models/some/tiny/tree/{COMMIT}" in hub.paths()
    assert hub.files() == [*SMALL, "model.safetensors"]


def test_a_cache_behind_a_link_is_followed(hub, tmp_path, snapshot):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "hf").symlink_to(tmp_path / "elsewhere")

    source = source_of("some/tiny")

    assert source.open_weights().samefile(snapshot())


def test_a_second_time_no_file_is_asked_for(hub):
    source_of("some/tiny").open_weights()
    hub.requests.clear()

    source_of("some/tiny").open_weights()

    assert hub.paths() == ["/api/models/some/tiny/revision/main"]
    assert hub.paths("HEAD") == []


def test_offline_the_cache_does(hub, offline, snapshot):
    source_of("some/tiny").open_weights()
    hub.requests.clear()
    offline()

    source = source_of("some/tiny")

    assert source.open_weights() == snapshot()
    assert (source.name, source.commit) == ("some/tiny", COMMIT)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(None, COMMIT), ("main", COMMIT), ("v1", OLDER), ("refs/pr/1", OLDER), (OLDER, OLDER)],
)
def test_a_revision_is_a_branch_a_tag_or_a_commit(revision, commit, hub, offline, snapshot):
    source = source_of("some/tiny", revision=revision)

    assert source.commit == commit and source.tokenizer == snapshot(commit)
    kind = "roberta" if commit == COMMIT else "opt"
    assert source.read_config() == {"model_type": kind}
    offline()
    assert source_of("some/tiny", revision=revision).commit == commit


def test_a_branch_that_has_moved_brings_what_has_changed_alone(hub, snapshot):
    source_of("some/tiny").open_weights()
    hub.requests.clear()
    newer = "f" * 40
    hub.repos["some/tiny"].commits[newer] = FILES | {"config.json": b'{"model_type": "bert"}'}

    source = source_of("some/tiny")
    source.open_weights()

    assert source.commit == newer and hub.files() == ["config.json"]
    assert source.tokenizer == snapshot(newer)


def test_of_a_model_in_shards_the_index_and_what_it_names_come(hub):
    files = sharded() | {"model.bin.index.json": b"{}", "pytorch_model.bin": b"pickled"}
    hub.repos["some/tiny"] = Repo({COMMIT: files})

    source_of("some/tiny").open_weights()

    assert hub.files()[len(SMALL) :] == [INDEX, *sorted(n for n in sharded() if "-of-" in n)]


def test_pickled_weights_come_only_where_there_are_no_others(hub, snapshot):
    files = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    hub.repos["some/tiny"] = Repo({COMMIT: files})

    source_of("some/tiny").open_weights()

    assert hub.files()[len(SMALL) :] == ["pytorch_model.bin"]


def test_a_preset_and_a_folder_come_before_the_hub(hub, tmp_path):
    assert source_of("roberta-micro").commit is None
    (tmp_path / "some" / "tiny").mkdir(parents=True)

    assert source_of("some/tiny").tokenizer == Path("some/tiny")
    assert hub.requests == []


def test_a_folder_of_the_cache_has_the_hubs_name_and_commit(hub, snapshot):
    source_of("some/tiny")

    source = source_of(snapshot())

    assert (source.name, source.commit) == ("some/tiny", COMMIT)


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    hub.repos["some/tiny"].token = "hf_mine"

    source_of("some/tiny").open_weights()

    sent = {path: headers.get("authorization") for _, path, headers in hub.requests}
    stored = {path for path in sent if "/api/" not in path and "/resolve/" not in path}
    assert len(stored) == 1 and sent[stored.pop()] is None
    assert {sent[path] for path in sent if "/resolve/" in path} == {"Bearer hf_mine"}


def test_a_stored_login_is_used(hub, tmp_path):
    hub.repos["some/tiny"].token = "hf_stored"
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_stored\n")

    assert source_of("some/tiny").commit == COMMIT


def test_requests_say_nothing_of_the_machine(hub, monkeypatch):
    monkeypatch.setenv("AGENT", "someone")
    source_of("some/tiny").open_weights()

    paths = {path.split("?")[0] for _, path, _ in hub.requests}
    assert not [path for path in paths if "telemetry" in path or "harness" in path]
    named = {headers["user-agent"] for _, _, headers in hub.requests}
    assert all(agent.startswith("pocketllm/") and "torch" not in agent for agent in named)


def test_one_bar_counts_each_download(hub):
    bars = []

    @contextmanager
    def bar(total):
        bars.append([total, 0])

        def count(size):
            bars[-1][1] += size

        yield count

    source = source_of("some/tiny", bar=bar)
    source.open_weights()
    source.open_weights()

    small = sum(len(FILES[name]) for name in SMALL)
    assert bars == [[small, small], [len(FILES["model.safetensors"])] * 2]


def test_it_says_what_it_takes(hub):
    lines = []
    source_of("some/tiny", revision="v1", say=lines.append)

    assert lines == [f"some/tiny, commit {OLDER}"]


def test_where_the_hub_is_away_the_cache_does_and_that_is_said(hub, monkeypatch):
    from huggingface_hub import constants

    source_of("some/tiny").open_weights()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    lines = []

    source = source_of("some/tiny", say=lines.append)
    source.open_weights()

    assert source.commit == COMMIT
    assert lines[0].startswith("the Hub (http://127.0.0.1:9) cannot be reached (ConnectError: ")
    assert lines[0].endswith(f"some/tiny is taken from the cache, commit {COMMIT[:12]}")


def test_a_cached_file_of_another_size_is_downloaded_again(hub, snapshot):
    source_of("some/tiny").open_weights()
    (snapshot() / "model.safetensors").resolve().write_bytes(b"cut")
    hub.requests.clear()

    source_of("some/tiny").open_weights()

    assert hub.files() == ["model.safetensors"]
    assert (snapshot() / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_without_config_or_weights_it_is_said_what_is_there(hub):
    hub.repos["some/gguf"] = Repo({COMMIT: {"model-q4.gguf": b"GGUF", "README.md": b""}})
    hub.repos["some/empty"] = Repo({COMMIT: {"README.md": b""}})
    hub.repos["some/onnx"] = Repo({COMMIT: {"config.json": b"{}", "model.onnx": b"onnx"}})
    hub.repos["some/half"] = Repo({COMMIT: {"config.json": b"{}"}})
    shards = sharded(("model-00001-of-00001.safetensors",))
    del shards["model-00001-of-00001.safetensors"]
    hub.repos["some/index"] = Repo({COMMIT: shards})

    def problem(name):
        with pytest.raises(InputError) as caught:
            source_of(name).open_weights()
        return str(caught.value)

    where = "in this model of the Hub"
    assert problem("some/gguf").startswith(
        f"--model=some/gguf: no config.json {where}; found model-q4.gguf: "
    )
    assert problem("some/empty") == (
        f"--model=some/empty: no config.json {where}; give one that transformers loads"
    )
    assert problem("some/onnx").startswith(
        f"--model=some/onnx: no weights that can be read {where}; found model.onnx: "
    )
    assert problem("some/half").startswith(
        f"--model=some/half: no weights that can be read {where}; expected model.safetensors, "
    )
    assert problem("some/index") == (
        f"--model=some/index: {INDEX} names model-00001-of-00001.safetensors, which the Hub does "
        "not have"
    )


def test_offline_a_cache_without_the_weights_is_refused(hub, offline):
    source_of("some/tiny")
    offline()

    with pytest.raises(InputError, match="does not hold its weights; HF_HUB_OFFLINE keeps"):
        source_of("some/tiny").open_weights()


def test_offline_a_missing_shard_is_named(hub, offline, snapshot):
    hub.repos["some/tiny"] = Repo({COMMIT: sharded()})
    source_of("some/tiny").open_weights()
    (snapshot() / "model-00002-of-00002.safetensors").unlink()
    offline()

    with pytest.raises(InputError, match="does not hold model-00002-of-00002.safetensors; HF_HUB"):
        source_of("some/tiny").open_weights()


@pytest.mark.parametrize("model", ["roberta-micro", "."])
def test_a_revision_goes_with_the_hub_alone(model):
    with pytest.raises(
        InputError, match=f"--revision goes with a name on the Hub, --model={model}"
    ):
        source_of(model, revision="main")
