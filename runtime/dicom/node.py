"""The node: a receiver that fills the queue, a loop that translates it, and a thread that empties it into the PACS.

What happens is logged in lines of an event, an instance's name (a keyed hash, see identity.py) and a reason of our own;
no value of an attribute is ever logged, nor any message of a library, which might quote one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from errno import errorcode
from pathlib import Path
from threading import Event, Thread

from runtime.dicom.deidentify import deidentify
from runtime.dicom.derive import Provenance, derive, encode
from runtime.dicom.discretion import EVENTS, place_of
from runtime.dicom.identity import Names, read_key
from runtime.dicom.network import NO_ROOM, STORED, Outcome, Receiver, Sender
from runtime.dicom.options import NodeOptions
from runtime.dicom.reader import check_references, read_header, read_instance, transfer_syntaxes
from runtime.dicom.spool import INCOMING, OUTGOING, PATIENCE, REJECTED, Spool
from runtime.dicom.translate import Stopped, Translator
from runtime.errors import DicomError, InlocoError

_IDLE_S = 0.5  # between looks at an empty queue, should a wake-up be missed
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0  # between tries of a PACS that is not there
_PATIENCE_S = 1.5  # with a PACS that does not answer when the node is to end
_REFUSALS = 3  # of the PACS before an instance is put aside


class Node:
    """Runs until `stop`; everything it has taken over is in its folder."""

    def __init__(self, options: NodeOptions) -> None:
        """Raises DicomError when the folder cannot be used."""
        self.counts: Counter[str] = Counter(received=0, translated=0, sent=0)
        self._options = options
        self._spool = Spool(options.state)
        self._names = Names(read_key(options.state / "key"))
        self._stopping = Event()
        self._arrived, self._translated = Event(), Event()
        self.beat: Callable[[], None] = lambda: None  # called while the node lives, for a watchdog

    def stop(self) -> None:
        """End soon: the instance in work stays in the queue."""
        self._stopping.set()
        self._arrived.set()
        self._translated.set()

    def run(self, translator: Translator, made: Provenance, ready: Callable[[int], None]) -> None:
        """Receive, translate and send until stopped; `ready` gets the port once senders may come.

        Raises DicomError when the port is taken, EngineError when the engine fails; the queue stays as it is.
        """
        sender = Thread(target=self._send_all, name="sender", daemon=True)
        receiver = Receiver(self._options.here, self._options.allowed, transfer_syntaxes(), self._take)
        try:
            sender.start()
            ready(receiver.port)
            while not self._stopping.is_set():
                if sender.is_alive():
                    self.beat()
                if not self._translate_waiting(translator, made):
                    self._arrived.wait(_IDLE_S)
                self._arrived.clear()
        finally:
            self.stop()
            receiver.close()
            sender.join(_PATIENCE_S)

    def close(self) -> None:
        """Let another node have the folder."""
        self._spool.close()

    def waiting(self) -> dict[str, int]:
        """How many files are in each stage."""
        return {stage: self._spool.count(stage) for stage in (INCOMING, OUTGOING, REJECTED)}

    def _take(self, sop_instance_uid: str, file: bytes) -> int:
        """Called by the receiver: have the instance safe, then say so."""
        name = self._names.token(sop_instance_uid)
        if not self._spool.has_room(len(file)):
            EVENTS.warning("refused %s: the disk is full", name)
            return NO_ROOM
        self._spool.put(INCOMING, name, file)
        self._count("received", name)
        self._arrived.set()
        return STORED

    def _translate_waiting(self, translator: Translator, made: Provenance) -> int:
        """Translate what waits; how many files that were."""
        paths = self._spool.waiting(INCOMING)
        for path in paths:
            deaths = self._spool.begin(path.stem)
            try:
                if deaths >= PATIENCE:
                    raise DicomError(f"the node died {deaths} times while translating it")
                self._translate(path, translator, made)
            except Stopped:
                self._spool.end()
                break
            except DicomError as error:
                self._reject(path, str(error))
            except (InlocoError, MemoryError):  # the engine or the machine, not this file
                raise
            except OSError as error:
                EVENTS.warning("the disk fails (%s); what is in the queue stays there", errorcode.get(error.errno or 0))
                self._spool.end()
                return 0
            except Exception as error:  # one file must not stop the node
                self._reject(path, f"an unforeseen error ({place_of(error, error.__traceback__)})")
            self._spool.end()
        return len(paths)

    def _translate(self, path: Path, translator: Translator, made: Provenance) -> None:
        instance = read_instance(path)
        check_references(instance.dataset)
        stored, how = translator.translate(instance, made.label, self._is_stopping)
        if self._options.deidentify:
            instance = replace(instance, dataset=deidentify(instance.dataset, self._names))
        derived = derive(instance, stored, made, how, self._names)
        self._spool.put(OUTGOING, self._names.token(derived.SOPInstanceUID), encode(derived))
        path.unlink(missing_ok=True)
        self._count("translated", path.stem)
        self._translated.set()

    def _is_stopping(self) -> bool:
        """Asked before every frame, so that a long series is no silence."""
        self.beat()
        return self._stopping.is_set()

    def _reject(self, path: Path, reason: str) -> None:
        self._spool.reject(path, reason)
        self._count("rejected", path.stem, reason)

    def _send_all(self) -> None:
        """The sender's thread: newest trouble is retried with growing, jittered pauses, for as long as it takes."""
        sender = Sender(self._options.here, self._options.pacs)
        refusals: Counter[str] = Counter()
        wait = _FIRST_WAIT_S
        while not self._stopping.is_set():
            trouble = self._send_waiting(sender, refusals)
            if trouble:
                EVENTS.warning("retry in %.1f s: %s", wait, trouble)
                self._stopping.wait(wait * random.uniform(0.75, 1.25))
                wait = min(2 * wait, _LONGEST_WAIT_S)
            else:
                wait = _FIRST_WAIT_S
                self._translated.wait(_IDLE_S)
                self._translated.clear()
        sender.close()

    def _send_waiting(self, sender: Sender, refusals: Counter[str]) -> str:
        """Send what waits; why some of it must be tried again, "" if none must."""
        trouble = ""
        for path in self._spool.waiting(OUTGOING):
            if self._stopping.is_set():
                break
            outcome, reason = self._send(sender, path)
            if outcome is Outcome.STORED:
                path.unlink(missing_ok=True)
                self._count("sent", path.stem, reason)
            elif outcome is Outcome.LATER:
                return reason
            else:
                refusals[path.stem] += 1
                trouble = reason
                if refusals[path.stem] == _REFUSALS:
                    self._reject(path, reason)
        return trouble

    def _send(self, sender: Sender, path: Path) -> tuple[Outcome, str]:
        try:
            return sender.send(read_header(path))
        except DicomError as error:
            return Outcome.REFUSED, str(error)
        except OSError as error:
            return Outcome.LATER, f"the network failed ({type(error).__name__})"

    def _count(self, event: str, name: str, reason: str = "") -> None:
        self.counts[event] += 1
        EVENTS.info("%s %s%s", event, name, f": {reason}" if reason else "")
