"""What is worth keeping of a stream: some seconds before and after each event, or everything."""

from __future__ import annotations

from collections import deque

from runtime.recording.fragments import Fragment


class EventWatch:
    """Finds events in what the frames show: a state that begins or ends, a move on the deadline ladder."""

    def __init__(self) -> None:
        self._state = ""
        self._ladder: int | None = None

    def look(self, state: str, ladder: int) -> list[str]:
        """What happened between the frame before and one of this state and ladder level."""
        found = []
        if state != self._state:
            found.append(state or f"{self._state} is over")
            self._state = state
        if self._ladder is not None and ladder != self._ladder:
            found.append(f"ladder {self._ladder} → {ladder}")
        self._ladder = ladder
        return found


class Ring:
    """Fragments of the last `around_s` seconds wait for an event; those within `around_s` of one come out.

    `around_s` None: all come out at once.
    """

    def __init__(self, around_s: float | None) -> None:
        self._around_s = around_s
        self._waiting: deque[Fragment] = deque()
        self._events: deque[float] = deque()

    def mark(self, media_s: float) -> None:
        """There was an event at this place of the time line."""
        if self._around_s is not None:
            self._events.append(media_s)

    def put(self, fragment: Fragment) -> list[Fragment]:
        """Take a fragment; those that are to be kept, in order."""
        if self._around_s is None:
            return [fragment]
        self._waiting.append(fragment)
        kept = []
        while self._waiting:
            head = self._waiting[0]
            while self._events and self._events[0] + self._around_s < head.begin_s:
                self._events.popleft()
            is_near = bool(self._events) and self._events[0] - self._around_s <= head.end_s
            if not is_near and head.end_s >= fragment.end_s - self._around_s:
                break  # an event may still come
            self._waiting.popleft()
            if is_near:
                kept.append(head)
        return kept

    def is_over(self, media_s: float) -> bool:
        """Whether no event so far reaches this place of the time line."""
        return self._around_s is not None and not any(event + self._around_s >= media_s for event in self._events)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
