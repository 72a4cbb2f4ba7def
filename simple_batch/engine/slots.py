"""A bound on calls at a time that may be moved while calls are running."""

from gevent.event import Event


class Slots:
    """``most`` None is no bound. ``room`` are slots that others take from too, of which each call
    needs one besides."""

    def __init__(self, most: int | None, room: "Slots | None" = None):
        self.room = room
        self._most = most
        self._taken = 0
        self._changed = Event()

    def take(self) -> None:
        """Block until one is free."""
        while self._most is not None and self._taken >= self._most:
            self._changed.clear()
            self._changed.wait()
        self._taken += 1

    def free(self) -> None:
        self._taken -= 1
        self._changed.set()

    def resize(self, most: int | None) -> None:
        """Calls that run already are not touched."""
        self._most = most
        self._changed.set()
