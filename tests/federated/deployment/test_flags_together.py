"""Flags and folders that do not go together: one line, and no program of Flower's is started."""

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: make federated")

from small_runs import rows, write_tsv

from pocketllm.federated.commands import client, server
from pocketllm.federated.flower import addresses, keys, processes
from pocketllm.runtime import cli
from pocketllm.runtime.run.folder import CONFIG

pytestmark = pytest.mark.flower


@pytest.fixture(scope="module")
def creds(tmp_path_factory):
    """Keys of a server and a client, in a folder whose name has a quotation mark."""
    folder = tmp_path_factory.mktemp("keys") / 'a "good" one'
    keys.write_keys(folder, 1, [])
    return folder


@pytest.fixture
def refused(creds, golden_bundle, tmp_path, capsys, monkeypatch):
    """Calls a command, which must refuse; returns its one line."""
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *a, **k: pytest.fail("it started"))
    data = write_tsv(tmp_path / "data.tsv", rows(4, seed=1))
    own = {
        "server": [f"--creds={creds / 'server'}", "--steps=4", "--lr=0.1",
                   f"--listen=127.0.0.1:{addresses.free_port()}", f"--run={tmp_path / 'fed'}"],
        "client": [f"--creds={creds / 'client-0'}", f"--train={data}", f"--run={tmp_path / 'c'}"],
        "bench": [f"--data={data}"],
    }  # fmt: skip

    def call(name, *flags):
        bundle = f"--bundle={golden_bundle.folder}"
        code = cli.main(["federate", name, bundle, *own[name], *flags])
        error = capsys.readouterr().err
        assert code == cli.BAD_INPUT and error.count("\n") == 1, error
        return error

    return call


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("server", "--least_examples=20"),
        ("server", "--clip=5"),
        ("client", "--delta=1e-6"),
        ("client", "--private_level=client"),
    ],
)
def test_a_flag_that_promises_nothing_by_itself_is_refused(name, flag, refused):
    assert f"{flag.partition('=')[0]} goes with --private" in refused(name, flag)


def test_a_phones_client_promises_nothing_by_half(refused):
    error = refused("client", "--via=device", "--device_data=/x", "--train=", "--delta=1e-6")

    assert "--delta goes with --private" in error


@pytest.mark.parametrize("name", ["server", "client"])
def test_a_run_that_flowers_settings_cannot_name_is_refused(name, refused, tmp_path):
    path = tmp_path / "it's mine"

    assert "a path with an apostrophe" in refused(name, f"--run={path}")
    assert not path.exists()


def test_a_client_does_not_take_the_servers_run(refused, tmp_path):
    (tmp_path / "fed").mkdir()
    (tmp_path / "fed" / CONFIG).write_text("{}")

    assert "has its run there; choose another --run" in refused("client", f"--run={tmp_path}/fed")
    assert not (tmp_path / "fed" / client.HOME).exists()


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_a_server_listens_at_no_address_of_ipv6(host, refused):
    assert "of IPv6; give a name or an address of IPv4" in refused(
        "server", f"--listen={host}:8000"
    )


def test_a_comparison_of_no_sizes_is_refused(refused):
    assert "--round_steps=: expected 1 to 1024" in refused("bench", "--round_steps=")


def test_a_folder_of_keys_may_have_any_name(creds, golden_bundle, tmp_path, monkeypatch):
    """Flower reads the authority's path from TOML."""
    tomllib = pytest.importorskip("tomllib")
    monkeypatch.setattr(server, "_supervise", lambda *a, **k: None)
    code = cli.main(
        ["federate", "server", f"--bundle={golden_bundle.folder}", f"--run={tmp_path / 'fed'}",
         f"--creds={creds / 'server'}", "--steps=4", "--lr=0.1",
         f"--listen=127.0.0.1:{addresses.free_port()}"]
    )  # fmt: skip

    assert code == cli.DONE
    settings = tomllib.loads((tmp_path / "fed/flower/cli/config.toml").read_text())
    read = settings["superlink"]["here"]["root-certificates"]
    assert read == str(creds / "server" / keys.AUTHORITY)
