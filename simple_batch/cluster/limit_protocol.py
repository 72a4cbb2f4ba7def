"""Messages between the workers and limit_coordinator.lua: an exchange sends a request for each limit lease
and gets a reply for each, in the same order.

The names on the wire (``rename``) are a contract: workers of two versions may share one Redis. A field
with a default is left out where it has that value; Lua then reads nil.
"""

from typing import Any

import msgspec

# field → name on the wire
_REQUEST_NAMES = {
    "in_flight": "busy",
    "starved": "hungry",
    "exchanged_at": "last",
    "wanted": "want",
    "grant": "had",
    "rate_share": "part",
    "wanted_rate_share": "want_part",
    "limit": "total",
    "cooldown": "cool",
}
_REPLY_NAMES = {
    "rate_share": "part",
    "publish": "tell",
    "reported_until": "heard",
    "reports": "log",
    "cooldown": "cool",
}


class LeaseRequest(msgspec.Struct, kw_only=True, omit_defaults=True, rename=_REQUEST_NAMES):
    """What a worker reports of a limit lease that it uses. For an API config: see ConfigLeaseRequest."""

    name: str  # “config:ID” or “job:ID”
    in_flight: int  # calls
    starved: bool  # a call waits, or was held back since the last exchange
    exchanged_at: float  # of the last exchange: seconds of Redis's clock; 0.0: there was none
    wanted: float  # calls in flight that it could use
    grant: int  # calls in flight that it may have so far; ALL: no other worker uses the limit
    rate_share: float  # its share (0 to 1) of the calls and tokens per minute so far
    wanted_rate_share: float  # may be over 1: as much as it can get
    limit: int  # calls in flight of all workers together, as far as this worker knows


class SharedCooldown(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A cooldown that holds for all workers. ``own`` is set in replies, for the worker that began it."""

    until: float  # seconds of Redis's clock
    reason: str
    ask_s: float  # how long a refusal takes to come back
    cut: float  # the last refusal that the worker knows of: seconds of Redis's clock
    own: bool = False


class ConfigLeaseRequest(LeaseRequest, kw_only=True, omit_defaults=True, rename=_REQUEST_NAMES):
    """The same of an API config, whose limits one of the workers learns for all."""

    version: int  # of what it knows to be learned
    ceiling: int  # calls in flight that the config allows at most
    learns: bool  # this worker learned until now
    news: bool  # a refusal has changed what is learned: the others exchange at once
    learned: str | None = None  # what it learned (engine's Learned as JSON), where Redis lacks it
    report: str | None = None  # events since the last exchange (Report as JSON), for the learner
    cooldown: SharedCooldown | None = None  # one that began here and was not reported yet
    refused: bool = False  # a call was refused: the others report at once, too


class ReleaseRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The worker gives its share back."""

    name: str
    leave: bool  # always True: tells it from the other requests
    report: str | None = None  # as of a ConfigLeaseRequest


class LeaseReply(msgspec.Struct, omit_defaults=True, rename=_REPLY_NAMES):
    """A worker's share from now on; the fields after ``soon`` are of API configs only."""

    grant: int  # calls in flight; ALL: the whole limit, as no other worker uses it
    rate_share: float  # its share (0 to 1) of the calls and tokens per minute
    soon: bool = False  # it waits for a share, or another waits for its: exchange again soon
    publish: bool = False  # Redis lacks what this worker knows to be learned: send it
    learned: str | None = None  # what another worker has learned (Learned as JSON) …
    version: int = 0  # … and its version
    learns: bool = False  # this worker learns for all
    # for the learner:
    workers: list[str] = []  # ids of all that use the limit
    reported_until: float = 0.0  # all have reported events until then: seconds of Redis's clock
    reports: list[str] = []  # Report as JSON
    cooldown: SharedCooldown | None = None  # one that lasts


class ExchangeReply(msgspec.Struct):
    """The reply to an exchange. ``now``: seconds of Redis's clock, as text with all its digits."""

    now: str
    replies: list[LeaseReply] | dict[str, Any]  # Lua writes an empty list as {}


Request = LeaseRequest | ReleaseRequest

encode_requests = msgspec.json.Encoder().encode
decode_reply = msgspec.json.Decoder(ExchangeReply).decode
