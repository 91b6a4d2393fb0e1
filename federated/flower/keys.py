"""Keys of a federation: a certificate for the server, a key a client, and one that signs questions.

CREDS/server is the server's folder, CREDS/client-N a client's. Nothing here is sent.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_bytes

from ..protocol import Check, Sign
from .addresses import check_host

AUTHORITY, CERTIFICATE, KEY = "ca.crt", "server.pem", "server.key"
SIGNING, SIGNER = "sign.key", "sign.pub"  # Ed25519, raw
CLIENT_KEY, PUBLIC = "key", "clients"  # OpenSSH, EC P-384, as Flower wants them
DAYS = 365
REMEDY = "restore it from a copy, or make new keys with `pocketllm federate keys`"


def write_keys(out: Path, clients: int, hosts: Sequence[str]) -> None:
    """Writes the folders of a server and of clients 0 to `clients` - 1.

    Args:
      out: a folder that does not exist yet.
      clients: their number.
      hosts: names and addresses that clients call the server by, beside this machine's own.

    Raises:
      InputError: a host is neither; then nothing is written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    for host in hosts:
        check_host(host, "host")
    authority = ec.generate_private_key(ec.SECP384R1())
    root = _certificate("PocketLLM federation", authority.public_key(), authority)
    own = ec.generate_private_key(ec.SECP384R1())
    certificate = _certificate(
        "PocketLLM server", own.public_key(), authority, hosts=["localhost", "127.0.0.1", *hosts]
    )
    signing = ed25519.Ed25519PrivateKey.generate()
    signer = signing.public_key().public_bytes_raw()
    server = out / "server"
    _write(server / AUTHORITY, root)
    _write(server / CERTIFICATE, certificate)
    _write(server / KEY, _private(own))
    _write(server / SIGNING, signing.private_bytes_raw())
    for number in range(clients):
        key, folder = ec.generate_private_key(ec.SECP384R1()), out / f"client-{number}"
        _write(server / PUBLIC / f"client-{number}.pub", _public(key))
        _write(folder / f"{CLIENT_KEY}.pub", _public(key))
        _write(folder / CLIENT_KEY, _private(key, openssh=True))
        _write(folder / AUTHORITY, root)
        _write(folder / SIGNER, signer)


def signer_of(creds: Path) -> Sign:
    """Returns what signs questions, with the server's key."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return _raw_key(creds / SIGNING, ed25519.Ed25519PrivateKey.from_private_bytes).sign


def check_of(creds: Path) -> Check:
    """Returns what refuses questions that are not the server's, by a client's copy of its key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = _raw_key(creds / SIGNER, ed25519.Ed25519PublicKey.from_public_bytes)

    def check(data, signature):
        try:
            key.verify(signature, data)
        except InvalidSignature as error:
            raise InputError(
                "a question that the server did not sign; it gets no answer"
            ) from error

    return check


def read_key(path: Path) -> bytes:
    """Returns a file of a folder of keys. Raises InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; give a folder of `pocketllm federate keys`"
        ) from error


def _raw_key(path, parse):
    data = read_key(path)
    try:
        return parse(data)
    except ValueError as error:
        raise InputError(f"{path}: {len(data)} bytes that are no key; {REMEDY}") from error


def _write(path, data):
    """Writes a file that nobody else can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_bytes(path, data)
    os.chmod(path, 0o600)


def _private(key, openssh=False):
    from cryptography.hazmat.primitives import serialization as s

    form = s.PrivateFormat.OpenSSH if openssh else s.PrivateFormat.PKCS8
    return key.private_bytes(s.Encoding.PEM, form, s.NoEncryption())


def _public(key):
    from cryptography.hazmat.primitives import serialization as s

    return key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)


def _certificate(name, public_key, authority, hosts=()):
    """Returns a certificate in PEM, of an authority where no hosts are given."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    def named(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named("PocketLLM federation"))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host(x509, host) for host in dict.fromkeys(hosts)])
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(authority, hashes.SHA384())
    return signed.public_bytes(serialization.Encoding.PEM)


def _host(x509, host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
