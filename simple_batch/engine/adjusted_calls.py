"""Single calls outside of a job, with what is learned about rejected parameters on the way."""

from collections.abc import Callable
from typing import Any

import msgspec

from ..core.domain import Adjustment, Defaults, Request
from .classify import Classification, classify, classify_failure
from .encoder import Encoder
from .exchange import Exchange
from .parameter_adjuster import MOST, ParameterAdjuster
from .transport import TransportFailure


class AdjustedCalls:
    """Calls over an exchange. ``learned`` are the adjustments that were not known before; they hold for
    the following calls. ``finish`` has the last word on a body."""

    def __init__(
        self,
        exchange: Exchange,
        defaults: Defaults,
        finish: Callable[[bytes], bytes] = lambda body: body,
    ):
        self._exchange = exchange
        self._defaults = defaults
        self._finish = finish
        self._adjuster = ParameterAdjuster(lambda: self._defaults, self._learn)
        self.learned: list[Adjustment] = []

    def call(
        self,
        request: Request,
        timeout_s: float,
        fields: Callable[[str], dict[str, Any]] = lambda url: {},
    ) -> tuple[Classification, bytes]:
        """What a request gets, and the body that was sent last. A call that is refused because of a
        parameter is made again without it, as a job does; ``fields(url)`` are those that a schema asks
        for. Never raises for what the endpoint does."""
        asked = frozenset(fields(request.url))
        body = Encoder(self._defaults, fields).encode(request)
        for _ in range(MOST + 1):
            finding = self._once(request, body, timeout_s)
            found = self._adjuster.treat(request, body, finding, asked)
            sent, body = body, Encoder(self._defaults, fields).encode(request)
            if found is None or found.own is not None or body == sent:
                break
        return finding, sent

    def _once(self, request: Request, body: bytes, timeout_s: float) -> Classification:
        try:
            reply = self._exchange.post(request.url, self._finish(body), timeout_s)
        except TransportFailure as failure:
            return classify_failure(failure)
        return classify(reply, request.url)

    def _learn(self, adjustment: Adjustment, origin: str) -> None:
        self.learned.append(adjustment)
        known = (*self._defaults.adjustments, adjustment)
        self._defaults = msgspec.structs.replace(self._defaults, adjustments=known)
