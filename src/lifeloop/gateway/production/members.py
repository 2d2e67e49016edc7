"""Loaded candidates: each is loaded once, however many releases hold it, and closed after the last of them.

Takes ids, gives Members. Loading blocks whoever asks; two who ask for the same candidate wait for the same load. Knows
nothing of releases or requests.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.core.errors import ModelError
from lifeloop.gateway.asking.worker import Worker
from lifeloop.models.model import AnswersInLoop, Model, PassesOn
from lifeloop.store.vault import Vault

log = logging.getLogger(__name__)

CLOSE_SECONDS = 600.0
"""How long the calls of a model that is no longer wanted may take before it is left to itself."""
STOP_SECONDS = 5.0
"""The same when the gateway stops."""


class Member:
    """A loaded candidate."""

    __slots__ = ("batch_size", "candidate", "id", "in_loop", "labels", "model", "name", "passes_on", "worker")

    def __init__(self, identifier: Id, candidate: Candidate, model: Model) -> None:
        self.id = identifier
        self.candidate = candidate
        self.name = candidate.name
        self.labels = candidate.labels
        self.model = model
        self.batch_size = max(1, model.batch_size)
        self.in_loop = isinstance(model, AnswersInLoop)
        self.passes_on = isinstance(model, PassesOn) and model.passes_on
        self.worker = None if self.in_loop else Worker(model, candidate.name)
        """Its threads; None for what is asked on the event loop."""

    def close(self, seconds: float) -> None:
        """Free the model, once its threads are done or `seconds` have passed. Blocks."""
        if self.worker is not None:
            self.worker.close(seconds)
            return
        try:
            self.model.close()
        except Exception:
            log.exception("%s could not be closed", self.name)


class _Slot:
    """A candidate that is loaded or being loaded."""

    __slots__ = ("holders", "loaded")

    def __init__(self) -> None:
        self.holders = 0
        self.loaded: Future[Member] = Future()


class Members:
    """The loaded candidates of a process. Safe to use from any thread."""

    def __init__(self, vault: Vault, load: Callable[[Id], Model]) -> None:
        self._vault = vault
        self._load = load
        self._lock = threading.Lock()
        self._slots: dict[Id, _Slot] = {}
        self._closed = False

    def hold(self, identifier: Id) -> Member:
        """Return a candidate loaded, now or before, with one more holder. Raises what its loader raises."""
        with self._lock:
            slot = self._slots.get(identifier)
            first = slot is None
            if slot is None:
                slot = self._slots[identifier] = _Slot()
            slot.holders += 1
        if first:
            self._fill(identifier, slot)
        return slot.loaded.result()

    def let_go(self, members: Iterable[Member]) -> None:
        """Give up one hold of each; those without a holder are closed, in threads of their own. Returns at once."""
        gone = []
        with self._lock:
            for member in members:
                slot = self._slots.get(member.id)
                if slot is None:  # closed with all others
                    continue
                slot.holders -= 1
                if slot.holders == 0:
                    del self._slots[member.id]
                    gone.append(member)
        _close(gone, CLOSE_SECONDS)

    def close(self) -> None:
        """Close all, now and as they come; wait a few seconds for those that still work."""
        with self._lock:
            self._closed = True
            slots, self._slots = list(self._slots.values()), {}
        loaded = [slot.loaded for slot in slots if slot.loaded.done() and slot.loaded.exception() is None]
        for thread in _close([future.result() for future in loaded], STOP_SECONDS):
            thread.join(STOP_SECONDS + 1.0)

    def _fill(self, identifier: Id, slot: _Slot) -> None:
        try:
            candidate = self._vault.get_value(identifier, Candidate)
            member = Member(identifier, candidate, self._load(identifier))
            with self._lock:
                closed = self._closed
                if not closed:
                    slot.loaded.set_result(member)
            if closed:
                member.close(STOP_SECONDS)
                raise ModelError(
                    f"{candidate.name} was loaded too late: the gateway stops", fix="nothing is to be done"
                )
        except BaseException as error:  # a plugin's loader may raise anything
            with self._lock:
                if self._slots.get(identifier) is slot:
                    del self._slots[identifier]  # so that the next one tries again
            slot.loaded.set_exception(error)


def _close(members: Iterable[Member], seconds: float) -> list[threading.Thread]:
    """Close models, each in a thread of its own: one that hangs must not keep the others or a request waiting."""
    threads = [threading.Thread(target=member.close, args=(seconds,), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    return threads
