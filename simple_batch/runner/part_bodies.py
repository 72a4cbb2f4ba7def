"""Bodies of the requests of a part: as they were sent, and as they would be sent now."""

from functools import partial

from msgspec.structs import replace

from ..core.domain import Defaults, Request
from ..engine.encoder import Encoder
from ..engine.structured_output import Structure
from ..store.configs import job_defaults
from ..store.models import Job
from .providers import Provider


class PartBodies:
    """A part was encoded at ``moment`` (epoch ms), at a ``level`` of the structure: without what was
    learned about rejected parameters since."""

    def __init__(
        self, job: Job, provider: Provider, structure: Structure | None, moment: int, level: int
    ):
        self._job = job
        self._provider = provider
        self._structure = structure
        self._moment = moment
        self._level = level
        self._then: Encoder | None = None
        self._now: Encoder | None = None
        self._now_of: tuple[Defaults | None, int] = None, 0

    def defaults(self) -> Defaults:
        """Those that requests are encoded with now."""
        return job_defaults(self._job, self._provider.defaults)

    def then(self, request: Request) -> bytes:
        """The body as it was in the part."""
        if self._then is None:
            defaults = self.defaults()
            known = tuple(one for one in defaults.adjustments if one.at < self._moment)
            self._then = self._encoder(replace(defaults, adjustments=known), self._level)
        return self._then.encode(request)

    def now(self, request: Request) -> bytes:
        """The body as it would be sent now."""
        level = self._structure.level if self._structure is not None else 0
        current = self._provider.defaults
        if self._now is None or self._now_of[0] is not current or self._now_of[1] != level:
            self._now = self._encoder(self.defaults(), level)
            self._now_of = current, level
        return self._now.encode(request)

    def _encoder(self, defaults: Defaults, level: int) -> Encoder:
        if self._structure is None:
            return Encoder(defaults)
        return Encoder(defaults, partial(self._structure.fields_at, level))
