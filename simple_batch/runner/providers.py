"""One provider per API config: its transport, governor, encoder, prices and what may still be
spent on it, shared by all jobs on the config and renewed when the config is edited."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import gevent
import msgspec

from ..core.call_prices import Prices
from ..core.context import Vault
from ..core.domain import Adjustment, Defaults, Endpoint, GovernorState
from ..core.errors import ConfigurationError
from ..core.settings import Settings
from ..engine.answer_memory import Answers
from ..engine.batch_api.batch_client import BatchClient
from ..engine.encoder import Encoder
from ..engine.exchange import Exchange
from ..engine.governor import Governor
from ..engine.prompt_caching import prompt_caching_of
from ..engine.stream.use import StreamState, StreamUse
from ..engine.transport import Reply
from ..store import configs, stream_needs
from ..store.configs import endpoint_of
from ..store.database import retry_while_unavailable
from ..store.models import ApiConfig
from .batch_clients import BatchClients
from .spend_caps import ConfigSpendLimit, SpendLimits

log = logging.getLogger(__name__)


class LimitSharing(Protocol):
    """Shares out what API configs allow among several processes that call them."""

    def new_governor(self, **limits) -> Governor:
        """As Governor(**limits), able to be shared."""

    def attach(self, config_id: int, governor: Governor) -> None:
        """From now on the governor starts calls on a share only."""

    def detach(self, config_id: int) -> None:
        """This process makes no more calls on the config."""


class Provider:
    """The provider that a job run calls. It serves the engine as encoder and transport. ``answers``
    limits the memory of its answers together with those of all other providers."""

    def __init__(
        self,
        settings: Settings,
        max_calls: int,
        endpoint: Endpoint,
        updated_at: int,
        spend_limit: ConfigSpendLimit,
        answers: Answers,
        new_governor: Callable[..., Governor] = Governor,
    ):
        self._settings = settings
        self._max_calls = max_calls
        self.config_id = endpoint.config_id
        self.relearn_at: int | None = None
        self._learning, self._learned_at = 0, 0.0  # adjustments that are being stored; the last one
        self.spend_limit = spend_limit
        self.answers = answers
        self.governor = new_governor(
            concurrency=endpoint.concurrency,
            rpm=endpoint.rpm,
            tpm=endpoint.tpm,
            start=settings.DEFAULT_CONCURRENCY,
            maximum=max_calls,
            patience_s=settings.RATE_LIMIT_PATIENCE,
        )
        self._streams = StreamUse(endpoint, self._streams_changed)
        self._open(endpoint, updated_at)

    def _open(self, endpoint: Endpoint, updated_at: int) -> None:
        self.updated_at = updated_at
        self.alias: str = endpoint.alias
        self.origin: str = endpoint.origin
        self.prices: Prices = endpoint.prices
        self.timeout_s = endpoint.timeout_s
        self.defaults: Defaults = endpoint.defaults
        self.caching = prompt_caching_of(endpoint)
        self._encoder = Encoder(endpoint.defaults)
        width = min(endpoint.concurrency or self._max_calls, self._max_calls)
        self._exchange = Exchange(endpoint, self._settings, width, self.answers, self._streams)

    def renew(self, endpoint: Endpoint, updated_at: int) -> None:
        """Take up an edited config: calls in flight end as they began."""
        self.governor.update(endpoint.concurrency, endpoint.rpm, endpoint.tpm)
        self._streams = self._streams.renewed(endpoint)
        self._open(endpoint, updated_at)

    def adjust(self, adjustments: tuple[Adjustment, ...]) -> None:
        """Encode requests with these adjustments from now on."""
        if adjustments != self.defaults.adjustments:
            self.defaults = msgspec.structs.replace(self.defaults, adjustments=adjustments)
            self._encoder = Encoder(self.defaults)

    def learn(self, adjustment: Adjustment) -> bool:
        """Take an adjustment up, here and for all processes. Returns False if another process or call
        has learned it before."""
        if any(one.key == adjustment.key for one in self.defaults.adjustments):
            return False
        self.adjust((*self.defaults.adjustments, adjustment))
        self._learning += 1
        try:
            config = retry_while_unavailable(configs.learn, self.config_id, adjustment)
        finally:
            self._learning -= 1
            self._learned_at = time.monotonic()
        known = configs.adjustments_of(config)
        keys = {one.key for one in known}
        # what other calls learn at the same time may not be stored yet
        self.adjust((*known, *(one for one in self.defaults.adjustments if one.key not in keys)))
        return adjustment in known

    def is_ahead_of(self, read_at: float) -> bool:
        """Whether it knows adjustments that its row, read at ``read_at`` (monotonic clock), may lack."""
        return self._learning > 0 or read_at <= self._learned_at

    @property
    def has_usual_timeout(self) -> bool:
        """Whether the config has the time-out of new configs: then no user has chosen it."""
        return self.timeout_s == self._settings.DEFAULT_TIMEOUT

    @property
    def encoder(self) -> Encoder:
        """Encodes requests with the config's defaults as they are now."""
        return self._encoder

    def post(
        self, path: str, body: bytes, timeout_s: float, own_timeout_s: float | None = None
    ) -> Reply:
        """``timeout_s`` is what the request has left; the job's own time-out, else the config's as
        it stands now, bounds the wait for the answer, or for the beginning of a stream."""
        return self._exchange.post(path, body, own_timeout_s or self.timeout_s, timeout_s)

    @property
    def streams(self) -> StreamState:
        """Whether calls ask for streams."""
        return self._streams.state

    def _streams_changed(self, state: StreamState) -> None:
        log.info("%s: streams %s: %s", self.alias, "on" if state.on else "off", state.reason)
        # the call that found it out goes on meanwhile
        gevent.spawn(
            retry_while_unavailable,
            stream_needs.remember,
            self.config_id,
            state.since,
            state.reason if state.on else "",
        )

    def close(self) -> None:
        self._exchange.close()


class Providers:
    """The providers in use, by config id; ``spend_limits`` caps the cost of their calls. Where other
    processes call them too, ``sharing`` shares out what their configs allow."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        spend_limits: SpendLimits | None = None,
        sharing: LimitSharing | None = None,
    ):
        self._settings = settings
        self._vault = vault
        self.spend_limits = spend_limits or SpendLimits(settings.TIMEZONE)
        self._sharing = sharing
        self._max_calls = raise_open_files_limit(settings.MAX_CONCURRENCY)
        self.answers = Answers(settings.MAX_ANSWERS_BYTES)
        self._by_config: dict[int, Provider] = {}
        self._batch_clients = BatchClients(settings, vault)

    def get(self, config: ApiConfig) -> Provider:
        """The provider for a config. Raises ConfigurationError where its key cannot be opened."""
        provider = self._by_config.get(config.id)
        if provider is None:
            endpoint = endpoint_of(config, self._vault)
            spend_limit = self.spend_limits.config_limit(config)
            provider = Provider(
                self._settings,
                self._max_calls,
                endpoint,
                config.updated_at,
                spend_limit,
                self.answers,
                Governor if self._sharing is None else self._sharing.new_governor,
            )
            # another may have been quicker while this one asked what was spent
            if config.id not in self._by_config:
                provider.relearn_at = config.relearn_at
                self._by_config[config.id] = provider
                if self._sharing is not None:
                    self._sharing.attach(config.id, provider.governor)
            provider = self._by_config[config.id]
        return provider

    def by_id(self, config_id: int) -> Provider:
        """The same by the config's id."""
        return self._by_config.get(config_id) or self.get(ApiConfig.get_by_id(config_id))

    def batch_client(self, config_id: int) -> BatchClient:
        """The client of a config's batch API, as the config stands now. Raises ConfigurationError."""
        return self._batch_clients.of(ApiConfig.get_by_id(config_id))

    def refresh(self) -> None:
        """Take up configs edited since they were opened."""
        if not self._by_config:
            return
        read_at = time.monotonic()
        for config in ApiConfig.select().where(ApiConfig.id.in_(list(self._by_config))):
            provider = self._by_config[config.id]
            provider.spend_limit.refresh()
            if provider.is_ahead_of(read_at):
                continue  # until the next time
            if config.relearn_at != provider.relearn_at:
                provider.relearn_at = config.relearn_at
                provider.governor.relearn()
            provider.adjust(configs.adjustments_of(config))
            if provider.updated_at != config.updated_at:
                provider.spend_limit.renew(config)
                try:
                    provider.renew(endpoint_of(config, self._vault), config.updated_at)
                except ConfigurationError as error:
                    log.error("config %s was edited but cannot be used: %s", config.alias, error)
                    provider.updated_at = config.updated_at

    def governors(self) -> dict[str, GovernorState]:
        """How they stand, by the aliases of their configs."""
        return {provider.alias: provider.governor.state() for provider in self._by_config.values()}

    def may_spend(self, config_id: int, needed: int = 0) -> bool:
        """Whether the spend caps of a config leave room for a call, and so much (nano-units). A config whose key cannot be
        opened has no room."""
        try:
            return self.spend_limits.has_room(self.by_id(config_id).spend_limit, needed)
        except ConfigurationError:
            return False

    def close(self) -> None:
        for config_id, provider in self._by_config.items():
            provider.close()
            if self._sharing is not None:
                self._sharing.detach(config_id)
        self._by_config.clear()
        self._batch_clients.close()


RESERVED = 256  # for the database, the pages' clients, logs and uploads

try:
    import resource
except ImportError:  # Windows knows no such limit
    resource = None  # type: ignore[assignment]  # a module, where there is one


def raise_open_files_limit(wanted: int) -> int:
    """Raise the limit on open files for ``wanted`` connections as far as the system lets us;
    returns how many there may be, and says so where they are fewer."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED:
        target = wanted + RESERVED
        if hard != resource.RLIM_INFINITY:
            target = min(target, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
        except (ValueError, OSError):
            log.debug("the limit on open files stays at %s", soft)
    if soft == resource.RLIM_INFINITY or soft >= wanted + RESERVED:
        return wanted
    allowed = max(1, soft - RESERVED)
    log.warning(
        "the system allows %s open files: at most %s calls in flight (MAX_CONCURRENCY is %s). "
        "Raise it with: ulimit -n %s",
        soft,
        allowed,
        wanted,
        wanted + RESERVED,
    )
    return allowed
