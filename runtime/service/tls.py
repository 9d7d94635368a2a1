"""TLS: the certificate that was given, or one made here and kept, so that its fingerprint stays the same."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.errors import InlocoError

_VALID = timedelta(days=397)  # longer ones are refused by browsers
_RENEW = timedelta(days=30)


class CertificateError(InlocoError):
    """A certificate or its key cannot be read or written."""


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    path: Path
    key: Path
    self_made: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as browsers show it: AB:CD:…"""
        return _load(self.path).fingerprint(hashes.SHA256()).hex(":").upper()


def given(path: Path, key: Path) -> Certificate:
    """A certificate and its key. Raises CertificateError when one cannot be read or they do not belong together."""
    certificate = _load(path)
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(f"cannot read the key {key} ({error}); give an unencrypted PEM file") from error
    if private.public_key() != certificate.public_key():
        raise CertificateError(f"{key} is not the key of {path}; give the pair that belongs together")
    if certificate.not_valid_after_utc < datetime.now(timezone.utc):
        raise CertificateError(f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it")
    return Certificate(path, key)


def self_made(folder: Path, names: list[str]) -> Certificate:
    """A certificate for `names` (hosts and addresses) in `folder`, made where there is none that holds for 30 days.

    Raises CertificateError when the folder cannot be written.
    """
    made = Certificate(folder / "certificate.pem", folder / "key.pem", self_made=True)
    try:
        if not _still_good(made, names):
            _make(made, names)
    except OSError as error:
        raise CertificateError(f"cannot write a certificate into {folder}: {error.strerror or error}") from error
    return made


def _still_good(made: Certificate, names: list[str]) -> bool:
    if not (made.path.is_file() and made.key.is_file()):
        return False
    try:
        certificate = _load(made.path)
        given(made.path, made.key)
    except CertificateError:
        return False
    present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return certificate.not_valid_after_utc - _RENEW > datetime.now(timezone.utc) and list(present) == _san(names)


def _make(made: Certificate, names: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"in loco on {socket.gethostname()}"[:64])])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(_san(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made.path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(made.key, secret)
    write_secret(made.path, certificate.public_bytes(serialization.Encoding.PEM))


def write_secret(path: Path, content: bytes) -> None:
    """A file for its owner's eyes only, whole or not at all. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    os.replace(partial, path)


def _san(names: list[str]) -> list[x509.GeneralName]:
    return [_general(name) for name in dict.fromkeys(names)]


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateError(f"cannot read the certificate {path} ({error}); give a PEM file") from error
