"""The DICOM network: instances come in by C-STORE and go out by C-STORE. The only file that knows pynetdicom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from runtime.dicom.discretion import EVENTS, place_of
from runtime.dicom.options import Peer
from runtime.errors import DicomError

# Status codes of C-STORE (PS3.4 B.2.3).
STORED, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
Take: TypeAlias = Callable[[str, bytes], int]  # SOP Instance UID and file → status
_TIMEOUT_S = 30.0
_ASSOCIATIONS = 16  # at once; each holds one instance in memory


class Receiver:
    """Takes instances from modalities; `take(sop_instance_uid, file)` has them safe when it returns a status."""

    def __init__(self, here: Peer, allowed: Sequence[str], syntaxes: Sequence[UID], take: Take) -> None:
        """Listen until closed. `allowed`: calling titles, empty = any. Raises DicomError when the port is taken."""
        entity = AE(ae_title=here.title)
        entity.maximum_associations = _ASSOCIATIONS
        entity.network_timeout = entity.dimse_timeout = _TIMEOUT_S
        entity.require_calling_aet = list(allowed)
        entity.require_called_aet = bool(allowed)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", list(syntaxes))
        entity.add_supported_context(Verification)
        self._take = take
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda event: STORED)]
        try:
            server: Any = entity.start_server((here.host, here.port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise DicomError(f"cannot listen on {here.host}:{here.port}: {error.strerror or error}") from error
        self._server = server
        self.port: int = server.server_address[1]

    def _store(self, event: Event) -> int:
        try:
            request: Any = event.request
            return self._take(str(request.AffectedSOPInstanceUID), event.encoded_dataset())
        except OSError:
            return NO_ROOM
        except Exception as error:  # pynetdicom would log its words
            EVENTS.error("not taken: an unforeseen error (%s)", place_of(error, error.__traceback__))
            return NOT_UNDERSTOOD

    def close(self) -> None:
        """Refuse new associations and end those that are open."""
        self._server.shutdown()


class Outcome(Enum):
    """What became of an instance that was sent."""

    STORED = "stored"
    LATER = "the PACS cannot be reached or has no room"
    REFUSED = "the PACS refuses it"


class Sender:
    """Gives instances to a PACS. Used by one thread; the association stays open between instances."""

    def __init__(self, here: Peer, pacs: Peer) -> None:
        self._here, self._pacs = here, pacs
        self._association: Association | None = None
        self._offered = ""

    def send(self, dataset: Dataset) -> tuple[Outcome, str]:
        """Store one instance; what became of it, and why in words (without a value of the instance)."""
        sop_class = str(dataset.SOPClassUID)
        association = self._associate(sop_class)
        if association.rejected_contexts:
            return Outcome.REFUSED, f"{self._pacs} does not store {UID(sop_class).name}"
        if not association.is_established:
            fact = "rejects the association" if association.is_rejected else "cannot be reached"
            return Outcome.LATER, f"{self._pacs} {fact}"
        try:
            status = association.send_c_store(dataset).get("Status")
        except RuntimeError:  # the association was lost
            self.close()
            return Outcome.LATER, f"{self._pacs} closed the association"
        except (ValueError, AttributeError) as error:
            return Outcome.REFUSED, f"it cannot be encoded for {self._pacs} ({type(error).__name__})"
        return self._judge(status)

    def _judge(self, status: int | None) -> tuple[Outcome, str]:
        if status is None:
            self.close()
            return Outcome.LATER, f"{self._pacs} gave no answer"
        if status == STORED or status & 0xF000 == 0xB000:  # warnings: stored, with something coerced
            return Outcome.STORED, f"status {status:#06x}"
        kind = Outcome.LATER if status & 0xFF00 == NO_ROOM else Outcome.REFUSED
        return kind, f"{self._pacs} answered with status {status:#06x}"

    def _associate(self, sop_class: str) -> Association:
        """The open association where it is for the SOP class, else a new one, which may not have been established."""
        if self._association is not None and self._association.is_established and sop_class == self._offered:
            return self._association
        self.close()
        entity = AE(ae_title=self._here.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _TIMEOUT_S
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        self._association = entity.associate(self._pacs.host, self._pacs.port, ae_title=self._pacs.title)
        self._offered = sop_class
        return self._association

    def close(self) -> None:
        """Release the association, if there is one."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None
