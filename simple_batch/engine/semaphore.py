"""A bound on calls at a time that may be moved while calls are running."""

from collections.abc import Callable

from gevent.event import Event


class ResizableSemaphore:
    """``most`` None is no bound. Where several processes share the bound, each has a part of it
    (``share``). ``hungry``: somebody is held back, or was since this was last set to False.
    ``room`` are slots that others take from too, of which each call needs one besides."""

    def __init__(self, most: int | None, room: "ResizableSemaphore | None" = None):
        self.room = room
        self.most = most
        self.taken = 0
        self._held = False
        self._waiting = 0
        self._grant: int | None = None  # None where nobody shares
        self._wake: Callable[[], None] | None = None
        self._changed = Event()

    def take(self) -> None:
        """Block until one is free."""
        if self._full:
            self._wait()
        self.taken += 1

    def _wait(self) -> None:
        self._held = True
        self._waiting += 1
        try:
            while self._full:
                if self._grant == 0:
                    self._wake()
                self._changed.clear()
                self._changed.wait()
        finally:
            self._waiting -= 1

    def free(self) -> None:
        self.taken -= 1
        self._changed.set()

    def resize(self, most: int | None) -> None:
        """Calls that run already are not touched."""
        self.most = most
        self._changed.set()

    def share(self, wake: Callable[[], None]) -> None:
        """From now on there are only as many as are granted, at first none. ``wake`` is called when
        some are wanted."""
        self._grant, self._wake = 0, wake

    def grant(self, part: int) -> None:
        """So many of them are for this process."""
        self._grant = part
        self._changed.set()

    def ready(self) -> bool:
        """False where this process has no part of a shared bound; asks for one then."""
        if self.most is None or self._grant is None or self._grant > 0:
            return True
        self._held = True
        self._wake()
        return False

    @property
    def hungry(self) -> bool:
        return self._held or self._waiting > 0

    @hungry.setter
    def hungry(self, held: bool) -> None:
        self._held = held

    @property
    def _full(self) -> bool:
        if self.most is None:
            return False
        most = self.most if self._grant is None else min(self.most, self._grant)
        return self.taken >= most
