"""What the one that runs a database's jobs does beside them, each in a greenlet of its own."""

import gevent

from ..settings import Settings
from ..store.secrets import Vault
from . import indexer
from .duties import Duties
from .postman import Postman
from .sweeper import Sweeper


class Chores:
    def __init__(self, settings: Settings, vault: Vault, duties: Duties):
        self._sweeper = Sweeper(
            duties.sweeper, "what was deleted or has expired could not be removed"
        )
        self._keeper = Sweeper(duties.keeper, "the backup that is due could not be made")
        self._postman = Postman(settings, vault)
        self.greenlets: dict[str, gevent.Greenlet] = {}  # by name, while they are done here

    def start(self) -> None:
        works = {
            "indexer": indexer.run,
            "sweeper": self._sweeper.run,
            "keeper": self._keeper.run,
            "postman": self._postman.run,
        }
        self.greenlets = {name: gevent.spawn(work) for name, work in works.items()}

    def sweep(self) -> None:
        """Remove now what was deleted or has expired."""
        self._sweeper.wake()

    def drop(self) -> None:
        """Leave them to whoever does them now."""
        gevent.killall(list(self.greenlets.values()))
        self.greenlets = {}

    def stop(self, timeout_s: float) -> None:
        """The same where nobody may follow: what is to be told is told."""
        if self.greenlets:
            self.drop()
            self._postman.last_round(timeout_s)
