"""Who reaches the service, and what they must show: loopback, names of this machine, token, certificate."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InlocoError
from runtime.service import tls
from runtime.service.tls import Certificate

TOKEN_VARIABLE = "INLOCO_TOKEN"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 16


class AccessError(InlocoError):
    """The service would be open to others than it should."""


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "inloco"


@dataclass(frozen=True)
class Access:
    """As asked for on the command line."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: any that is free
    names: tuple[str, ...] = ()  # further ones that this machine is reached by
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    state: Path = field(default_factory=_state_folder)  # keeps the self-made certificate


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(access: Access) -> frozenset[str]:
    """What a Host header may say. Off loopback without names it may be anything: there the token decides."""
    if is_loopback(access.host):
        return frozenset(name.lower() for name in (*_LOOPBACK, access.host, *access.names))
    return frozenset(name.lower() for name in (*_LOOPBACK, access.host, *access.names)) if access.names else frozenset()


def find_token(access: Access) -> str | None:
    """The token of the file, which is made where there is none, or of the environment; None: nobody needs one.

    Raises:
        AccessError: off loopback there is none, or it is too short, or the file cannot be read or made.
    """
    if access.token_file is not None:
        token = _token_of(access.token_file)
    else:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token and is_loopback(access.host):
            return None
        if not token:
            raise AccessError(
                f"other machines reach {access.host}: give --token-file FILE (made where there is none) or set "
                f"{TOKEN_VARIABLE}, or stay on 127.0.0.1"
            )
    if len(token) < _SHORTEST_TOKEN or not token.isascii():
        raise AccessError(
            f"the token has fewer than {_SHORTEST_TOKEN} ASCII characters; delete its file, and one is made"
        )
    return token


def _token_of(path: Path) -> str:
    try:
        if not path.exists():
            tls.write_secret(path, secrets.token_urlsafe(32).encode() + b"\n")
            print(f"made a token in {path}; give it to those who may use this service", file=sys.stderr)
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"cannot read or make the token file {path}: {error}") from error


def find_certificate(access: Access) -> Certificate | None:
    """The one given; off loopback else one that is made here, which is said; None: plain HTTP.

    Raises:
        AccessError, CertificateError: half of a pair, or what cannot be read or written.
    """
    if (access.certificate is None) != (access.key is None):
        raise AccessError("--cert and --key belong together; give both or neither")
    if access.certificate is not None and access.key is not None:
        return tls.given(access.certificate, access.key)
    if is_loopback(access.host):
        return None
    own = [socket.gethostname(), *_addresses(access.host), *access.names, *_LOOPBACK]
    made = tls.self_made(access.state / "tls", own)
    print(
        f"self-made certificate {made.path}: browsers will warn; compare its SHA-256 fingerprint there\n"
        f"  {made.fingerprint}\nor give your own with --cert and --key",
        file=sys.stderr,
    )
    return made


def _addresses(host: str) -> list[str]:
    """`host`, or for "every address" the one that this machine's name stands for."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return [host]
        found = {str(item[4][0]) for item in socket.getaddrinfo(socket.gethostname(), None)}
        return sorted(address for address in found if "%" not in address)
    except (ValueError, OSError):
        return [] if host in ("0.0.0.0", "::") else [host]
