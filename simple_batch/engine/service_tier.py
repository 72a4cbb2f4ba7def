"""Service tiers: a cheaper or dearer class of service at the same endpoint, asked for by ``service_tier`` and
named by the answer.

Sources (read 2026-11-28): OpenAI, https://developers.openai.com/api/docs/guides/flex-processing (a refused
flex call is a 429 “resource unavailable” that is not charged; time-out of 15 minutes; the answer names the
tier that was used); Groq, https://console.groq.com/docs/flex-processing (498 ``capacity_exceeded``);
Anthropic, https://docs.anthropic.com/en/api/service-tiers (``usage.service_tier``); Gemini,
https://ai.google.dev/gemini-api/docs/priority-inference (header ``x-gemini-service-tier``).
"""

from collections.abc import Callable, Mapping

import msgspec

from ..core.clock import now_ms
from ..core.price_rules import STANDARD

FLEX = "flex"
FLEX_TIMEOUT_S = 900.0  # OpenAI's own default is 600 s, and too short for flex
REFUSALS = 3  # by a tier without room, after which a request is sent at the standard tier
# endpoints whose requests have the field
ENDPOINTS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})

FIELD = b'"service_tier"'
_LONGEST = 60  # characters of a name
_HEADER = "x-gemini-service-tier"
_HEADER_TIERS = ("standard", "flex", "priority", "batch")  # relays also say "paid"


class _Tier(msgspec.Struct):
    service_tier: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    service_tier: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode = msgspec.json.Decoder(_Tier).decode
_text = msgspec.json.Decoder(str | None).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def asked(body: bytes) -> str | None:
    """The tier that the body of a request asks for."""
    return _named(body) if FIELD in body else None


def without(body: bytes) -> bytes:
    """The same body, asking for no tier."""
    if asked(body) is None:
        return body
    fields = _fields(body)
    remove(fields)
    return msgspec.json.encode(fields)


def remove(fields: dict[str, msgspec.Raw]) -> None:
    """Ask for no tier in the fields of a body; what names none stays, and the provider says what is wrong
    with it."""
    if _read(fields["service_tier"]) is not None:
        del fields["service_tier"]


def of_answer(
    told: msgspec.Raw, usage: msgspec.Raw, headers: Mapping[str, str] | None = None
) -> str | None:
    """The tier that an answer names in its field ``told``, in its usage or in a header; None where it names
    none."""
    if told:
        name = _read(told)
        if name is not None:
            return name
    if bytes(usage).find(FIELD) >= 0:  # quicker than "in", and each answer comes here
        return _named(bytes(usage))
    named = str((headers or {}).get(_HEADER, "")).lower()
    return named if named in _HEADER_TIERS else None


def of_body(answer: bytes) -> str | None:
    """The same, from a whole answer."""
    if FIELD not in answer:
        return None
    try:
        told = _decode_answer(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return of_answer(told.service_tier, told.usage)


def can_be_left(tier: str | None) -> bool:
    """Whether a tier is one that a request can leave for the standard tier."""
    return tier is not None and tier.lower() not in STANDARD


class TierFallback:
    """Decides when a request leaves a tier that has no room. ``affords()`` says whether the spend caps allow
    a call at the standard tier, ``note(refusals)`` is called once for a job run. A flex call may take
    ``timeout_s``; ``deadline_at`` (epoch ms) is the job's."""

    def __init__(
        self,
        timeout_s: Callable[[], float],
        deadline_at: int | None,
        affords: Callable[[], bool],
        note: Callable[[int], None],
    ):
        self._timeout_s = timeout_s
        self._deadline_at = deadline_at
        self._affords = affords
        self._note = note
        self._noted = False

    def leaves(self, refusals: int, left_s: float) -> bool:
        """Whether a request that was refused this often, with ``left_s`` seconds left of the time for it, is
        sent at the standard tier now."""
        if self._deadline_at is not None:
            left_s = min(left_s, (self._deadline_at - now_ms()) / 1000)
        if refusals < REFUSALS and left_s > self._timeout_s():
            return False
        if not self._affords():
            return False
        if not self._noted:
            self._noted = True
            self._note(refusals)
        return True


def _named(raw: bytes) -> str | None:
    try:
        told = _decode(raw).service_tier
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _read(told) if told else None


def _read(told: msgspec.Raw) -> str | None:
    try:
        return (_text(told) or "")[:_LONGEST] or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
