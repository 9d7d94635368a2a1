"""New UIDs and names without a patient's data: keyed hashes, so that the same input gets the same name after a crash.

The key is drawn once and stays in the node's folder. Who has it not can neither compute a pseudonym nor check a guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from runtime.errors import DicomError

_KEY_BYTES = 32


class Names:
    """Everything that this node names, computed from the key and what the name stands for."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def uid(self, *parts: str) -> str:
        """A UID under 2.25 (PS3.5 B.2), the same for the same parts."""
        return f"2.25.{UUID(bytes=self._digest('uid', *parts)[:16], version=4).int}"

    def token(self, sop_instance_uid: str) -> str:
        """What an instance is called in file names and logs: 16 hexadecimal digits."""
        return self._digest("token", sop_instance_uid)[:8].hex()

    def pseudonym(self, patient: str) -> str:
        """What a patient is called after de-identification."""
        return "ANON-" + self._digest("patient", patient)[:6].hex().upper()

    def _digest(self, *parts: str) -> bytes:
        return hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).digest()


def read_key(path: Path) -> bytes:
    """The key in `path`; drawn and written there, for its owner only, where there is none.

    Raises:
        DicomError: the file cannot be read or written, or is no key.
    """
    try:
        if not path.exists():
            partial = path.with_name(path.name + ".tmp")
            with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                os.fsync(file.fileno())
            os.replace(partial, path)
        key = path.read_bytes()
    except OSError as error:
        raise DicomError(f"cannot read {path}: {error.strerror or error}") from error
    if len(key) != _KEY_BYTES:
        raise DicomError(f"{path} is no key of {_KEY_BYTES} bytes; restore it, or remove it and get new UIDs")
    return key
