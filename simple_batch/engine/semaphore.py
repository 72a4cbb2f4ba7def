"""A semaphore whose size can change while calls are running."""

from collections.abc import Callable

from gevent.event import Event


class ResizableSemaphore:
    """``limit`` None means no limit. If several processes share the limit, each has a part of it
    (``share``). ``starved``: a call is held back, or was since this was last set to False."""

    def __init__(self, limit: int | None):
        self.limit = limit
        self.taken = 0
        self._held = False
        self._waiting = 0
        self._grant: int | None = None  # None if it is not shared
        self._wake: Callable[[], None] = lambda: None
        self._changed = Event()

    def acquire(self) -> None:
        """Acquire a slot; blocks until one is free."""
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

    def release(self) -> None:
        self.taken -= 1
        self._changed.set()

    def resize(self, limit: int | None) -> None:
        """Change the size. Running calls are not affected."""
        self.limit = limit
        self._changed.set()

    def share(self, wake: Callable[[], None]) -> None:
        """From now on only granted slots are available, none at first. ``wake`` is called when slots
        are needed."""
        self._grant, self._wake = 0, wake

    def grant(self, slots: int) -> None:
        """Set the number of slots granted to this process."""
        self._grant = slots
        self._changed.set()

    def ready(self) -> bool:
        """Returns False if this process has no part of a shared limit; it then asks for one."""
        if self.limit is None or self._grant is None or self._grant > 0:
            return True
        self._held = True
        self._wake()
        return False

    @property
    def waiting(self) -> bool:
        """Whether a call waits for a slot."""
        return self._waiting > 0

    @property
    def starved(self) -> bool:
        return self._held or self._waiting > 0

    @starved.setter
    def starved(self, held: bool) -> None:
        self._held = held

    @property
    def _full(self) -> bool:
        if self.limit is None:
            return False
        limit = self.limit if self._grant is None else min(self.limit, self._grant)
        return self.taken >= limit
