"""Sends the requests of a route with the provider's prompt cache in mind: by their prefixes, with a key and
a mark where the endpoint takes them."""

from ..core.domain import Adjust, Request
from ..core.prompt_prefix import hash_of
from ..core.settings import Settings
from ..engine.cache_gate import PrefixGate
from ..engine.prompt_caching import KEY, KEYED, MARKS, is_cheaper, with_key
from ..store.models import Job
from .providers import Provider


class PromptCaches:
    """``part`` names the process among those that share a job: each has its own keys, so that a key gets
    no more calls than one process makes with it."""

    def __init__(self, provider: Provider, part: str, settings: Settings):
        self._provider = provider
        self._part = f"{hash_of(part.encode()) & 0xFFFF:04x}-" if part else ""
        self.gate = PrefixGate(
            provider.caching.key_rpm,
            settings.PROMPT_CACHE_WAIT,
            settings.PROMPT_CACHE_LIFETIME,
        )

    @classmethod
    def of(
        cls, job: Job, provider: Provider, inputs_per_call: int, part: str, settings: Settings
    ) -> "PromptCaches | None":
        """None where the job does not want it, or sends several requests in a call."""
        wanted = is_cheaper(provider.prices) if job.cache_aware is None else job.cache_aware
        return cls(provider, part, settings) if wanted and inputs_per_call == 1 else None

    def noted(self, request: Request, body: bytes) -> bytes:
        """A request's body as it is sent, with what the endpoint takes for its cache."""
        number = self.gate.entry_of(request.index)
        if number is None or request.prefix is None:
            return body
        caching = self._provider.caching
        if caching.takes_marks and self.gate.is_marked(request.index) and not self._rejects(MARKS):
            body = caching.marked(request.url, body)
        if caching.takes_key and request.url in KEYED and not self._rejects((KEY,)):
            body = with_key(body, f"sb-{request.prefix:016x}-{self._part}{number}")
        return body

    def _rejects(self, names: tuple[str, ...]) -> bool:
        """Whether the model was seen to reject one of these (engine/parameter_adjuster.py)."""
        return any(
            one.action is Adjust.LEAVE_OUT and any(name in one.parameter for name in names)
            for one in self._provider.defaults.adjustments
        )
