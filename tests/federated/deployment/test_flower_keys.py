"""Keys and certificates that are missing, damaged or mixed up: one line, and nothing is started."""

import datetime
import shutil
import socket
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr", reason="Flower is not installed: make federated")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from small_runs import rows, write_tsv

from pocketllm.federated.commands import client, server
from pocketllm.federated.flower import addresses, key_checks, keys
from pocketllm.runtime import cli
from pocketllm.runtime.errors import InputError

pytestmark = pytest.mark.flower


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Keys of two federations, `a` and `b`, of two clients each; nobody alters them."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("a", "b"):
        keys.write_keys(folder / name, 2, [])
    return folder


@pytest.fixture
def creds(whole, tmp_path, monkeypatch):
    """A copy, for a test to spoil; no program may be started with it."""
    for command in (server, client):
        monkeypatch.setattr(command, "started", lambda *a, **k: pytest.fail("it started"))
    shutil.copytree(whole, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def call(creds, golden_bundle, tmp_path, capsys):
    """Calls the command of a side on the folder `a`; returns its one line, of bad input."""

    def run(side, *flags):
        own = ["--steps=4", "--lr=0.1", f"--creds={creds / 'a/server'}"]
        own.append(f"--listen=127.0.0.1:{addresses.free_port()}")
        if side == "client":
            data = write_tsv(tmp_path / "data.tsv", rows(4, seed=1))
            own = [f"--train={data}", f"--creds={creds / 'a/client-0'}"]
        bundle, folder = f"--bundle={golden_bundle.folder}", tmp_path / "run"
        code = cli.main(["federate", side, bundle, f"--run={folder}", *own, *flags])
        error = capsys.readouterr().err
        assert code == cli.BAD_INPUT and error.count("\n") == 1, error
        assert not folder.exists(), "nothing is written either"
        return error

    return run


FILES = [
    ("server", "ca.crt"), ("server", "server.pem"), ("server", "server.key"),
    ("server", "sign.key"), ("server", "clients/client-1.pub"),
    ("client", "ca.crt"), ("client", "key"), ("client", "sign.pub"),
]  # fmt: skip


def place_of(creds, side, name):
    return creds / "a" / ("server" if side == "server" else "client-0") / name


@pytest.mark.parametrize(("side", "name"), FILES)
def test_a_damaged_file_is_named_before_anything_starts(side, name, creds, call):
    path = place_of(creds, side, name)
    for data in (b"", b"no key", path.read_bytes()[: len(path.read_bytes()) // 2]):
        path.write_bytes(data)
        error = call(side)
        assert f"{path}: {len(data)} bytes that are no " in error
        assert "restore it from a copy, or make new keys" in error


@pytest.mark.parametrize(("side", "name"), [f for f in FILES if "clients/" not in f[1]])
def test_a_missing_file_is_named_before_anything_starts(side, name, creds, call):
    path = place_of(creds, side, name)
    path.unlink()

    assert f"{path}: No such file or directory; give a folder of" in call(side)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ca.crt", "server.pem: not issued by ca.crt beside it"),
        ("server.pem", "server.pem: not issued by ca.crt beside it"),
        ("server.key", "server.key: not the key of server.pem beside it"),
    ],
)
def test_files_of_two_calls_are_refused(name, words, creds, call):
    shutil.copy(creds / "b/server" / name, creds / "a/server" / name)

    error = call("server")

    assert words in error and "take all files of one call" in error


def private_bytes(key, form):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def test_keys_of_another_kind_are_refused(creds, call):
    formats = serialization.PrivateFormat
    big = rsa.generate_private_key(65537, 2048)
    (creds / "a/server/server.key").write_bytes(private_bytes(big, formats.PKCS8))
    assert "RSAPrivateKey, expected an elliptic curve's" in call("server")
    small = ed25519.Ed25519PrivateKey.generate()
    (creds / "a/client-0/key").write_bytes(private_bytes(small, formats.OpenSSH))
    assert "Ed25519PrivateKey, expected an elliptic curve's" in call("client")


def test_a_key_with_a_password_is_refused(creds, call):
    path = creds / "a/server/server.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    lock = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))

    assert "no private key without a password" in call("server")


def test_one_key_of_two_clients_is_refused(creds, call):
    folder = creds / "a/server/clients"
    shutil.copy(folder / "client-0.pub", folder / "client-1.pub")

    assert "client-1.pub: the key of client-0.pub too" in call("server")


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize(("days", "words"), [(400, "expired on"), (-2, "set the clock")])
def test_a_certificate_that_is_not_valid_now_is_refused(side, days, words, call, monkeypatch):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    clock = SimpleNamespace(now=lambda zone: then)
    monkeypatch.setattr(
        key_checks, "datetime", SimpleNamespace(datetime=clock, timezone=datetime.timezone)
    )

    assert words in call(side)


@pytest.mark.parametrize(("host", "others"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_what_others_can_do_is_said_where_they_can_reach_the_port(
    host, others, creds, golden_bundle, tmp_path, capsys
):
    flags = [f"--bundle={golden_bundle.folder}", f"--run={tmp_path / 'run'}", "--steps=4"]
    with socket.create_server((host, 0)) as busy:  # so nothing starts
        listen = f"--listen={host}:{busy.getsockname()[1]}"
        flags += ["--lr=0.1", f"--creds={creds / 'a/server'}", listen]
        code = cli.main(["federate", "server", *flags])

    printed = capsys.readouterr()
    assert code == cli.BAD_INPUT and "another program listens there" in printed.err
    warning = f"warning: {listen}: whoever reaches this port can start runs"
    assert (warning in printed.out) == others


def test_an_address_that_the_certificate_does_not_name_is_refused(creds, call):
    """Flower's own call to register clients would fail there, again and again."""
    error = call("server", "--listen=127.0.0.2:8000")
    assert "server.pem is of localhost, 127.0.0.1, so nobody trusts it there" in error
    assert "`pocketllm federate keys --host=127.0.0.2`" in error

    authority, own = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    of_nobody = keys._certificate("PocketLLM server", own.public_key(), authority)
    root = keys._certificate("PocketLLM federation", authority.public_key(), authority)
    (creds / "a/server/ca.crt").write_bytes(root)
    (creds / "a/server/server.pem").write_bytes(of_nobody)
    (creds / "a/server/server.key").write_bytes(
        private_bytes(own, serialization.PrivateFormat.PKCS8)
    )
    assert "server.pem is of no host" in call("server")


def test_names_of_a_certificate_are_taken_in_any_case(tmp_path):
    keys.write_keys(tmp_path / "own", 1, ["Server.example"])
    creds = tmp_path / "own/server"
    for host in ("localhost", "127.0.0.1", "SERVER.example"):
        key_checks.check_named(creds, host, host)
    with pytest.raises(InputError, match="is of localhost, server.example, 127.0.0.1"):
        key_checks.check_named(creds, "other.example", "other.example:8000")


def test_whole_folders_are_taken(whole):
    key_checks.check_server(whole / "a/server")
    for number in range(2):
        key_checks.check_client(whole / f"a/client-{number}")
    with pytest.raises(InputError, match="key: No such file"):
        key_checks.check_client(whole / "a/server")
