"""Whether a folder of keys is whole, before anything is started with it."""

import datetime
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pocketllm.runtime.errors import InputError

from .keys import (
    AUTHORITY,
    CERTIFICATE,
    CLIENT_KEY,
    KEY,
    PUBLIC,
    REMEDY,
    check_of,
    read_key,
    signer_of,
)

OF_ONE_CALL = "take all files of one call of `pocketllm federate keys`"


def public_keys(creds: Path) -> list[Path]:
    """Returns the files of the clients' public keys in a server's folder."""
    return sorted((creds / PUBLIC).glob("*.pub"))


def check_server(creds: Path) -> None:
    """Checks a server's folder.

    Raises:
      InputError: a file is missing, damaged, expired, or does not belong to the others.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization

    authority, certificate = (_certificate(creds / name) for name in (AUTHORITY, CERTIFICATE))
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise InputError(
            f"{creds / CERTIFICATE}: not issued by {AUTHORITY} beside it; {OF_ONE_CALL}"
        ) from error
    key = _private_key(creds / KEY, serialization.load_pem_private_key)
    if key.public_key() != certificate.public_key():
        raise InputError(f"{creds / KEY}: not the key of {CERTIFICATE} beside it; {OF_ONE_CALL}")
    signer_of(creds)
    _check_public_keys(public_keys(creds))


def check_named(creds: Path, host: str, listen: str) -> None:
    """Raises InputError unless the server's certificate names a host, which clients look for.

    Args:
      creds: a server's folder, of `check_server`.
      host: name or address at which the server is called.
      listen: the value of --listen.
    """
    from cryptography import x509

    host = host.strip("[]").lower()
    named = []
    with suppress(x509.ExtensionNotFound):
        extensions = _certificate(creds / CERTIFICATE).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named += map(str.lower, names.get_values_for_type(x509.DNSName))
        named += map(str, names.get_values_for_type(x509.IPAddress))
    if not {host, f"*.{host.partition('.')[2]}"} & set(named):
        raise InputError(
            f"--listen={listen}: {creds / CERTIFICATE} is of {', '.join(named) or 'no host'}, so "
            f"nobody trusts it there; make new keys with `pocketllm federate keys --host={host}`"
        )


def check_client(creds: Path) -> None:
    """Checks a client's folder; errors are those of `check_server`."""
    from cryptography.hazmat.primitives import serialization

    _certificate(creds / AUTHORITY)
    _private_key(creds / CLIENT_KEY, serialization.load_ssh_private_key)
    check_of(creds)


def _certificate(path) -> Any:
    """Returns a certificate that is valid now."""
    from cryptography import x509

    certificate = _parsed(path, "certificate", x509.load_pem_x509_certificate)
    now = datetime.datetime.now(datetime.timezone.utc)
    if certificate.not_valid_after_utc < now:
        raise InputError(
            f"{path}: expired on {certificate.not_valid_after_utc:%Y-%m-%d}; make new keys with "
            "`pocketllm federate keys`"
        )
    if certificate.not_valid_before_utc > now:
        raise InputError(
            f"{path}: valid from {certificate.not_valid_before_utc:%Y-%m-%d}, and this machine's "
            f"clock says {now:%Y-%m-%d}; set the clock"
        )
    return certificate


def _private_key(path, parse: Callable[[bytes, None], Any]) -> Any:
    """Returns a private key, on an elliptic curve as Flower wants it."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = _parsed(path, "private key without a password", lambda data: parse(data, None))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path}: {type(key).__name__}, expected an elliptic curve's; {REMEDY}")
    return key


def _check_public_keys(paths: Sequence[Path]):
    """Checks clients' public keys."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    clients: dict[bytes, Path] = {}
    for path in paths:
        key = _parsed(path, "client's public key", serialization.load_ssh_public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InputError(
                f"{path}: {type(key).__name__}, expected an elliptic curve's; {REMEDY}"
            )
        point = key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
        )
        if point in clients:
            raise InputError(
                f"{path}: the key of {clients[point].name} too, and a key is one client; remove "
                "one of the two"
            )
        clients[point] = path


def _parsed(path, what: str, parse: Callable[[bytes], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    data = read_key(path)
    try:
        return parse(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: {len(data)} bytes that are no {what}; {REMEDY}") from error
