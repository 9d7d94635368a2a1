"""What two threads of the pipeline share: a bounded queue that waits for room or lets the newest win."""

from __future__ import annotations

from collections import deque
from threading import Condition
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in order from one putter to one getter; nobody spins, and closing wakes both sides.

    `newest_wins`: a full mailbox drops its oldest item, counted in `dropped`; otherwise `put` waits for room.
    `forgotten` counts what `clear` took out.
    """

    def __init__(self, capacity: int, newest_wins: bool) -> None:
        self.dropped = self.forgotten = 0
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = Condition()

    def put(self, item: T) -> bool:
        """Hand over an item; False when the mailbox is closed and the item was not taken."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                if self._newest_wins:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item; None once closed and empty (`finished`), or when nothing came in `timeout_s`."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        with self._changed:
            while not self._items and not self._closed:
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def finished(self) -> bool:
        """Closed, and every item has been taken."""
        with self._changed:
            return self._closed and not self._items

    def close(self) -> None:
        """Take no more items; what is inside can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Close and forget what is inside."""
        with self._changed:
            self.forgotten += len(self._items)
            self._items.clear()
        self.close()
