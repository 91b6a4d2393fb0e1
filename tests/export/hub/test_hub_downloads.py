"""Downloads that break, come damaged or fill the disk: a second try goes on, or begins anew."""

import errno
import hashlib

import pytest
from hub_models import COMMIT, FILES, SMALL, refused, sharded
from hub_server import Fault, Repo

from pocketllm.export.hub.patience import TRIES
from pocketllm.export.sources.kinds import source_of
from pocketllm.runtime.errors import InputError, RunError

pytest_plugins = ["hub_fixtures"]
pytestmark = pytest.mark.desktop

WEIGHTS = FILES["model.safetensors"]
STORED = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def _unread_weights(monkeypatch):
    monkeypatch.setattr("pocketllm.export.sources.hub.open_checkpoint", lambda folder: folder)


def test_a_download_that_breaks_goes_on_where_it_was(hub, snapshot):
    hub.faults.append(Fault(STORED, cut=2_500_000, times=1))

    source_of("some/tiny").open_weights()

    (ranges,) = [h["range"] for _, path, h in hub.requests if STORED in path and "range" in h]
    assert ranges == "bytes=2097152-"
    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_never_comes_whole_is_named(hub, snapshot):
    hub.faults.append(Fault("GET.*tokenizer.json", cut=4))

    assert refused(RunError).startswith(
        "the connection broke off at tokenizer.json (RemoteProtocolError: peer closed connection"
    )
    assert not (snapshot() / "tokenizer.json").exists()


def test_a_connection_that_is_reset_is_tried_again(hub, snapshot):
    hub.faults.append(Fault(STORED, cut=2_500_000, reset=True, times=1))

    source_of("some/tiny").open_weights()

    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_second_run_goes_on_where_the_first_ended(hub, snapshot, monkeypatch):
    """A first run of which nothing but a begun file is left, as SIGKILL leaves it."""
    source = source_of("some/tiny")
    blobs = snapshot().parents[1] / "blobs"
    (blobs / f"{STORED}.incomplete").write_bytes(WEIGHTS[:70_000])

    source.open_weights()

    (ranges,) = [h["range"] for _, path, h in hub.requests if STORED in path and "range" in h]
    assert ranges == "bytes=70000-"
    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS
    assert not list(blobs.glob("*.incomplete"))


@pytest.mark.parametrize("begun", [b"of another file" * 99, WEIGHTS + b"more"])
def test_what_was_begun_wrongly_is_begun_anew(begun, hub, snapshot):
    source = source_of("some/tiny")
    (snapshot().parents[1] / "blobs" / f"{STORED}.incomplete").write_bytes(begun)

    source.open_weights()

    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_without_ranges_sends_all_again(hub, snapshot):
    hub.ranges = False
    hub.faults.append(Fault(STORED, cut=2_500_000, times=1))

    source_of("some/tiny").open_weights()

    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_download_that_breaks_off_again_and_again_ends(hub, snapshot, monkeypatch):
    monkeypatch.setattr("pocketllm.export.hub.download.MOST_TIMES", 1)
    hub.ranges = False
    hub.faults.append(Fault(STORED, cut=2_500_000))

    line = refused(RunError)

    assert line.startswith("the connection breaks off again and again at model.safetensors; what")
    assert not (snapshot() / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "path"), [("model.safetensors", STORED), ("tokenizer.json", "GET.*tokenizer.json")]
)
def test_damaged_bytes_are_not_kept(name, path, hub, snapshot):
    hub.faults.append(Fault(path, replace=b"x" * len(FILES[name]), times=1))

    line = refused(RunError)

    assert line.startswith(f"{name}: its ") and "not the one that the Hub lists" in line
    assert not (snapshot() / name).exists()
    assert not list((snapshot().parents[1] / "blobs").glob("*.incomplete"))
    source_of("some/tiny").open_weights()
    assert (snapshot() / name).read_bytes() == FILES[name]


def test_a_file_of_another_size_is_refused(hub, snapshot):
    hub.faults.append(Fault(STORED, replace=b"short"))

    assert refused(RunError).startswith("model.safetensors: 5 bytes came, expected 3000016")
    assert not (snapshot() / "model.safetensors").exists()


def test_an_interrupted_first_download_is_not_taken_for_whole_offline(hub, offline):
    hub.faults.append(Fault("GET.*tokenizer_config.json", status=500, times=99))
    assert "fails (500)" in refused(RunError)
    offline()

    assert "nor in the Hub's cache" in refused(InputError)


def test_a_later_file_that_fails_leaves_the_earlier_ones(hub):
    hub.faults.append(Fault("HEAD.*tokenizer_config.json", status=503, times=TRIES))
    refused(RunError)
    hub.requests.clear()

    source_of("some/tiny")

    assert hub.files() == SMALL[SMALL.index("tokenizer_config.json") :]


def test_a_full_disk_is_said_before_the_download(hub, monkeypatch):
    import shutil

    source = source_of("some/tiny")
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(RunError, match="0.00 GB free, some/tiny takes another 0.00 GB; free some"):
        source.open_weights()


def test_a_disk_that_fills_is_said(hub, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = source_of("some/tiny")
    monkeypatch.setattr("pocketllm.export.hub.download.http_get", full)

    with pytest.raises(RunError, match="the disk is full; free some space, or set HF_HUB_CACHE"):
        source.open_weights()


@pytest.mark.parametrize(
    ("file", "variable"),
    [("hf", "HF_HOME"), ("hf/hub", "HF_HUB_CACHE")],  # a login lies in the one, not in the other
)
def test_a_cache_that_cannot_be_written_is_said(file, variable, hub, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("no folder")

    line = refused(RunError)

    assert f"cannot be written: Not a directory; set {variable} to a folder that can" in line


def test_another_repository_is_left_alone(hub, snapshot):
    hub.repos["else/tiny"] = Repo({COMMIT: FILES})
    source_of("some/tiny").open_weights()

    source_of("else/tiny").open_weights()

    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("climb", ["../" * 4, "x/" + "../" * 5, "absolute"])
def test_a_listed_name_that_leads_out_of_the_cache_touches_nothing(climb, hub, tmp_path):
    precious = tmp_path / "hf" / "precious.safetensors"
    precious.parent.mkdir()
    precious.write_bytes(b"mine")
    name = str(precious) if climb == "absolute" else f"{climb}precious.safetensors"
    hub.repos["some/tiny"] = Repo({COMMIT: sharded((name,))})

    line = refused(InputError)

    assert line.endswith(f"model.safetensors.index.json names {name}, which the Hub does not have")
    assert precious.read_bytes() == b"mine"


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize(
    "path", ["/api/models/some", "HEAD .*config.json", f"GET /{STORED}", "HEAD .*safetensors"]
)
def test_a_server_that_fails_for_a_moment_is_asked_again(status, path, hub, snapshot):
    hub.faults.append(Fault(path, status, times=2))

    source_of("some/tiny").open_weights()

    assert hub.faults[0].times == 0
    assert (snapshot() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_that_goes_on_failing_is_given_up(hub):
    hub.faults.append(Fault("HEAD .*config.json", 503))

    assert refused(RunError).endswith(" fails (503); try again later")
    assert (1 << 30) - hub.faults[0].times == TRIES


def test_what_a_link_in_the_cache_leads_to_is_left_alone(hub, snapshot, tmp_path):
    source_of("some/tiny").open_weights()
    mine, link = tmp_path / "mine", snapshot() / "model.safetensors"
    mine.write_bytes(b"of another size")
    link.unlink()
    link.symlink_to(mine)

    source_of("some/tiny").open_weights()

    assert mine.read_bytes() == b"of another size"
    assert link.read_bytes() == WEIGHTS
