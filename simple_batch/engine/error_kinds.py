"""What an error means: its cause, and what to do about it.

Status, codes and structure decide first, wordings (error_words.py) only where these say nothing.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from ..core import remedies
from ..core.domain import Cause, Verdict
from ..core.messages import Message
from . import error_words as words
from .error_text import ErrorBody
from .error_waits import LEAST_DAY_RESET_S, body_wait_s, day_reset
from .error_words import Sign
from .rate_limit_headers import day_reset_s, reset_s, retry_after_s
from .request_size import Size, exceeded_size, is_too_large

# a gateway or a proxy got no answer from the endpoint behind it; 520 to 530 are Cloudflare's
# (developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors), 598 and
# 599 are those of proxies whose connection timed out
GATEWAY_STATUSES = frozenset({502, 503, 504, *range(520, 531), 598, 599})
_REDIRECTS = range(300, 400)
_OVERLOADED = (503, 529)
_NOT_GENERATED = (401, 403, 404, 408, 429)
_NAMES_SIZES = (400, 403, 422, 500)  # statuses of a request that is too long, besides 413
_NAMES_RATES = (400, 403, 500)  # of a rate limit, besides 429: AWS, GitHub, proxies


class Kind(msgspec.Struct, frozen=True):
    """``retry_after_s``: the wait that the provider asks for. ``remedy``: what to do, where that is
    not what the cause says. ``per_day``: a limit per day is used up. ``failed_generation``: what the
    model generated fails the provider's own check, so the request itself is right. ``unavailable``: a
    gateway says that the endpoint behind it is away. ``no_capacity``: there is no room in the service tier
    of the request."""

    cause: Cause
    verdict: Verdict
    retry_after_s: float | None = None
    remedy: Message | None = None
    per_day: bool = False
    failed_generation: bool = False
    unavailable: bool = False
    no_capacity: bool = False


class _Seen(msgspec.Struct, frozen=True):
    """An error with what was read from it. ``status`` is its HTTP status, or the one that it stands for
    if it is inside an answer (0: none); ``refused``: it is a refusal by a rate or a quota; ``wait_s``
    and ``day_s``: the waits until a next call, and until a limit per day renews."""

    status: int
    error: ErrorBody
    signs: frozenset[Sign]
    refused: bool
    wait_s: float | None
    day_s: float | None
    now_s: float


def kind_of(http_status: int, error: ErrorBody, headers: Mapping[str, str], now_s: float) -> Kind:
    """The kind of an error that came with this HTTP status; 2xx: the error is inside an answer."""
    seen = _seen(http_status, error, headers, now_s)
    kind = _of_request(seen) or _of_account(seen)
    if kind is not None:
        return kind
    if seen.refused or seen.status == 498:
        return _refusal(seen)
    cause, verdict = _by_status(seen)
    away = seen.status in GATEWAY_STATUSES
    full = cause is Cause.OVERLOADED and _no_capacity(seen)
    return Kind(cause, verdict, seen.wait_s, unavailable=away, no_capacity=full)


def refuses_content(error: ErrorBody) -> bool:
    """Whether a body has a code of a refusal of the content, though no message."""
    return Sign.CONTENT in _signs(error)


def names_format(params: Iterable[str]) -> bool:
    """Whether the parameter that asks for a schema is named as the fault."""
    return any(words.FORMAT_NAMES.search(name) for name in params)


def limited(error: ErrorBody) -> str | None:
    """Whether a refusal is about "tokens" or "requests"; None where it does not say."""
    for what in ("tokens", "requests"):  # OpenAI's ``type``
        if what in error.codes:
            return what
    named = " ".join((error.text, *(str(value) for _name, value in error.fields)))
    if words.ABOUT_TOKENS.search(named):
        return "tokens"
    return "requests" if words.ABOUT_REQUESTS.search(named) else None


def _seen(http_status: int, error: ErrorBody, headers: Mapping[str, str], now_s: float) -> _Seen:
    signs = _signs(error, headers.get("x-amzn-errortype", ""))
    status = _status(http_status, error, signs)
    named = bool(signs & {Sign.RATE, Sign.PER_DAY}) and status not in _OVERLOADED
    refused = named or 429 in (status, error.status) or _names_rate(status, error)
    asked = retry_after_s(headers, now_s)
    reset = reset_s(headers, now_s) if refused and not asked else None
    wait_s = asked or reset or body_wait_s(error, now_s) or asked
    return _Seen(status, error, signs, refused, wait_s, day_reset_s(headers, now_s), now_s)


def _names_rate(status: int, error: ErrorBody) -> bool:
    """Whether an error with another status than 429 is a refusal by a rate or by a quota that renews."""
    if status not in _NAMES_RATES:
        return False
    if words.RATE_EXCEEDED.search(error.judged):
        return True
    if not words.LIMIT_WORDS.search(error.judged):
        return False
    of_account = words.RENEWED_WORDS.search(error.judged) and words.USAGE_WORDS.search(error.judged)
    of_a_rate = words.PER_DAY_WORDS.search(error.judged) or words.PER_MINUTE_WORDS.search(
        error.words
    )
    return bool(of_account or of_a_rate)


def _signs(error: ErrorBody, *more: str) -> frozenset[Sign]:
    found = {words.NUMBERED.get((name, _number(value))) for name, value in error.fields}
    for code in (*error.codes, *more):
        found.add(next((sign for sign, codes in words.CODES if codes.search(code)), None))
    return frozenset(sign for sign in found if sign is not None)


def _number(value: object) -> int:
    text = str(value)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else -1


def _status(http_status: int, error: ErrorBody, signs: frozenset[Sign]) -> int:
    if http_status >= 300:
        return http_status
    coded = (words.STATUSES[sign] for sign in words.STATUSES if sign in signs)
    status = error.status or next(coded, 0)
    return status or (429 if words.NAMED_RATE_LIMIT.search(error.judged) else 0)


# --- refusals that concern one request -------------------------------------------------------


def _of_request(seen: _Seen) -> Kind | None:
    if Sign.CONTENT in seen.signs or _refuses_content(seen):
        return Kind(Cause.CONTENT_FILTER, Verdict.FINAL)
    if _failed_generation(seen):
        return Kind(Cause.BAD_RESPONSE, Verdict.RETRY, failed_generation=True)
    if seen.status in _REDIRECTS or seen.status in (401, 402, 404):
        return None
    size = _exceeded_size(seen)
    if size is Size.OUTPUT:
        return None  # what the job asks for is the same in all requests
    if _exceeds_context(seen):
        return Kind(Cause.CONTEXT_LENGTH, Verdict.FINAL)
    if seen.status == 413 or Sign.TOO_LARGE in seen.signs or _exceeds_limit(seen):
        return Kind(Cause.TOO_LARGE, Verdict.FINAL)
    return None if size is None else Kind(_CAUSES_OF_SIZE[size], Verdict.FINAL)


def _exceeded_size(seen: _Seen) -> Size | None:
    if seen.refused or seen.status not in _NAMES_SIZES:
        return None
    return exceeded_size(seen.error)


_CAUSES_OF_SIZE = {Size.TOKENS: Cause.CONTEXT_LENGTH, Size.BYTES: Cause.TOO_LARGE}


def _refuses_content(seen: _Seen) -> bool:
    said = seen.error.judged
    if (
        seen.refused
        or seen.status == 401
        or seen.status in GATEWAY_STATUSES
        or words.ACCOUNT_WORDS.search(said)
    ):
        return False
    if words.CONTENT_WORDS.search(said) or words.CONTENT_WORDS.search(" ".join(seen.error.codes)):
        return True
    if seen.status not in (403, 451) or words.ACCESS_WORDS.search(said):
        return False
    return bool(words.ASKED_WORDS.search(said))


def _failed_generation(seen: _Seen) -> bool:
    if Sign.GENERATION in seen.signs or seen.error.has_generation:
        return True
    if seen.refused or seen.status in _NOT_GENERATED or names_format(seen.error.params):
        return False
    return bool(words.GENERATION_WORDS.search(seen.error.judged))


def _exceeds_context(seen: _Seen) -> bool:
    if Sign.CONTEXT in seen.signs:
        return True
    by_words = not seen.refused and 400 <= seen.status < 500
    return by_words and bool(words.CONTEXT_WORDS.search(seen.error.judged))


def _exceeds_limit(seen: _Seen) -> bool:
    """Whether the request alone needs more than a limit of tokens."""
    of_a_rate = seen.refused or words.PER_MINUTE_WORDS.search(seen.error.judged)
    return bool(of_a_rate) and is_too_large(seen.error)


# --- failures that only the user can end, at the provider ------------------------------------


def _of_account(seen: _Seen) -> Kind | None:
    if seen.status in _REDIRECTS or seen.status == 404:
        return None
    if (seen.refused or seen.status == 403) and _no_quota(seen.error):
        return Kind(Cause.QUOTA, Verdict.STOP, remedy=remedies.NO_QUOTA)
    return Kind(Cause.QUOTA, Verdict.STOP) if _is_spent(seen) else None


def _is_spent(seen: _Seen) -> bool:
    """Whether there is no money or credit left."""
    throttled = any("throttl" in code.lower() for code in seen.error.codes)
    if seen.status == 402 or (Sign.QUOTA in seen.signs and not throttled):
        return True
    if words.QUOTA_WORDS.search(seen.error.judged):
        return not (seen.refused and _is_per_day(seen))  # it renews
    # the rest are words that a rate limit uses too: they count where nothing names one
    if seen.wait_s is not None or Sign.RATE in seen.signs:
        return False
    if words.PAY_WORDS.search(seen.error.judged):
        return not words.RATE_WORDS.search(seen.error.judged)
    if (
        not seen.refused
        and seen.status in (400, 403)
        and words.LIMIT_WORDS.search(seen.error.judged)
    ):
        return words.USAGE_WORDS.search(seen.error.judged) is not None
    return seen.status in (403, 429) and bool(words.WEAK_QUOTA_WORDS.search(seen.error.judged))


def _no_quota(error: ErrorBody) -> bool:
    """Whether a limit is 0: the tier has none of it."""
    if words.NO_QUOTA_WORDS.search(error.judged):
        return True
    return any(name in words.NO_QUOTA_FIELDS and str(value) == "0" for name, value in error.fields)


# --- refusals that pass ------------------------------------------------------------------------


def _refusal(seen: _Seen) -> Kind:
    """A rate limit, a limit per day, or a lack of capacity."""
    if _no_capacity(seen):
        return Kind(Cause.OVERLOADED, Verdict.RETRY, seen.wait_s, no_capacity=True)
    if seen.day_s is None and not _is_per_day(seen):
        return Kind(Cause.RATE_LIMIT, Verdict.WAIT, seen.wait_s)
    reset, place = day_reset(seen.error, seen.now_s)
    given = seen.day_s or seen.wait_s
    # where the provider is known to renew at midnight, a wait of seconds is not the reset
    if given is not None and (given >= LEAST_DAY_RESET_S or place != "Pacific"):
        return Kind(Cause.RATE_LIMIT, Verdict.STOP, given, per_day=True)
    remedy = remedies.DAY_QUOTA[place]
    return Kind(Cause.RATE_LIMIT, Verdict.STOP, reset, remedy, per_day=True)


def _no_capacity(seen: _Seen) -> bool:
    said = " ".join((seen.error.text, *seen.error.codes))
    return seen.status == 498 or bool(words.NO_CAPACITY_WORDS.search(said))


def _is_per_day(seen: _Seen) -> bool:
    error = seen.error
    if Sign.PER_DAY in seen.signs:
        return True
    named = (value for _name, value in error.fields if isinstance(value, str))
    if any(words.PER_DAY_ID.search(value) and "://" not in value for value in named):
        return True
    per_minute = words.PER_MINUTE_WORDS.search(error.judged)
    return bool(words.PER_DAY_WORDS.search(error.judged)) and not per_minute


# --- everything else, by status ----------------------------------------------------------------


def _by_status(seen: _Seen) -> tuple[Cause, Verdict]:
    status = seen.status
    if status in _REDIRECTS or status == 404:
        return Cause.NOT_FOUND, Verdict.STOP
    if status == 501:  # the endpoint cannot do it: that does not pass (RFC 9110, section 15.6.2)
        return Cause.BAD_REQUEST, Verdict.FINAL
    if status >= 500 or status in (408, 409, 425):
        return _passing(seen), Verdict.RETRY
    if 400 <= status < 500:
        return _client_error(seen)
    if Sign.OVERLOADED in seen.signs or words.OVERLOADED_WORDS.search(seen.error.judged):
        return Cause.OVERLOADED, Verdict.RETRY
    return Cause.BAD_RESPONSE, Verdict.RETRY


def _passing(seen: _Seen) -> Cause:
    """The cause of a failure that may pass by itself."""
    if seen.status == 408:
        return Cause.TIMEOUT
    if seen.status in (409, 425):
        return Cause.SERVER_ERROR
    overloaded = Sign.OVERLOADED in seen.signs or words.OVERLOADED_WORDS.search(seen.error.text)
    return Cause.OVERLOADED if overloaded or seen.status in _OVERLOADED else Cause.SERVER_ERROR


def _names_model(error: ErrorBody) -> bool:
    """Whether the parameter at fault is the name of the model."""
    return any(param.removeprefix("body.") == "model" for param in error.params)


def _client_error(seen: _Seen) -> tuple[Cause, Verdict]:
    if seen.status in (401, 407):
        return Cause.AUTH, Verdict.STOP
    no_model = seen.status != 403 and words.NO_MODEL_WORDS.search(seen.error.words)
    if Sign.NO_MODEL in seen.signs or no_model or _names_model(seen.error):
        return Cause.NOT_FOUND, Verdict.STOP
    key = Sign.KEY in seen.signs or words.KEY_WORDS.search(seen.error.judged)
    if seen.status == 403 or key:
        return Cause.AUTH, Verdict.STOP
    return Cause.BAD_REQUEST, Verdict.FINAL
