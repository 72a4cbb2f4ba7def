"""The body of a request as it is sent to a provider: the user's fields over those of the job and the config."""

from ..core.domain import Defaults, Request
from ..engine.encoder import Encoder
from ..engine.structured_output import Structure
from ..store.configs import job_defaults
from ..store.models import Job
from .providers import Provider


class BodyEncoder:
    """Encodes the requests of one job for one provider, with what the job sets itself, and with the
    format of the answer that ``structure`` asks for now."""

    def __init__(self, job: Job, provider: Provider, structure: Structure | None = None):
        self._job = job
        self.provider = provider
        self.structure = structure
        self._own_defaults = job_defaults(job, provider.defaults) is not provider.defaults
        self._encoder: Encoder | None = None
        self._encoder_of: tuple[Defaults | None, int] = None, 0

    def encode(self, request: Request) -> bytes:
        """The body as it would be sent now."""
        return self._encoder_now().encode(request)

    def encode_for_batch(self, request: Request) -> tuple[bytes, str]:
        """The body as it would be sent in a batch now, and the name of its model."""
        return self._encoder_now().encode_for_batch(request)

    def defaults(self) -> Defaults:
        """Those that requests are encoded with now."""
        return job_defaults(self._job, self.provider.defaults)

    def _encoder_now(self) -> Encoder:
        if not (self._own_defaults or self.structure):
            return self.provider.encoder
        defaults = self.provider.defaults
        level = self.structure.level if self.structure else 0
        # another at first, when the config was edited, and when the endpoint takes no schema
        encoder = self._encoder
        if encoder is None or self._encoder_of[0] is not defaults or self._encoder_of[1] != level:
            fields = (self.structure.fields,) if self.structure else ()
            encoder = self._encoder = Encoder(job_defaults(self._job, defaults), *fields)
            self._encoder_of = defaults, level
        return encoder
