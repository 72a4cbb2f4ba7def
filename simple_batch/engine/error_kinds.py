"""What an error means: its cause, and what to do about it.

Status, codes and structure decide first, wordings (error_words.py) only where these say nothing.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ..core import remedies
from ..core.domain import Cause, Verdict
from ..core.messages import Message
from . import error_words as words
from .error_text import ErrorBody
from .error_waits import LEAST_DAY_RESET_S, body_wait_s, day_reset
from .error_words import Sign
from .rate_limit_headers import day_reset_s, retry_after_s
from .request_size import is_too_large

_REDIRECTS = range(300, 400)
_OVERLOADED = (503, 529)
_NOT_GENERATED = (401, 403, 404, 408, 429)


class Kind(msgspec.Struct, frozen=True):
    """``retry_after_s``: the wait that the provider asks for. ``remedy``: what to do, where that is
    not what the cause says. ``per_day``: a limit per day is used up. ``failed_generation``: what the
    model generated fails the provider's own check, so the request itself is right."""

    cause: Cause
    verdict: Verdict
    retry_after_s: float | None = None
    remedy: Message | None = None
    per_day: bool = False
    failed_generation: bool = False


def kind_of(http_status: int, error: ErrorBody, headers: Mapping[str, str], now_s: float) -> Kind:
    """The kind of an error that came with this HTTP status; 2xx: the error is inside an answer."""
    signs = _signs(error)
    status = _status(http_status, error, signs)
    asked = retry_after_s(headers, now_s)
    wait = asked or body_wait_s(error, now_s) or asked
    named = bool(signs & {Sign.RATE, Sign.PER_DAY}) and status not in _OVERLOADED
    refused = named or 429 in (status, error.status)
    kind = _of_request(status, error, signs, refused) or _of_account(
        status, error, signs, refused, wait
    )
    if kind is not None:
        return kind
    if refused or status == 498:
        return _refusal(status, error, signs, headers, wait, now_s)
    cause, verdict = _by_status(status, error, signs)
    return Kind(cause, verdict, wait)


def refuses_content(error: ErrorBody) -> bool:
    """Whether a body has a code of a refusal of the content, though no message."""
    return Sign.CONTENT in _signs(error)


def limited(error: ErrorBody) -> str | None:
    """Whether a refusal is about "tokens" or "requests"; None where it does not say."""
    named = " ".join((error.text, *(str(value) for _name, value in error.fields)))
    if words.ABOUT_TOKENS.search(named):
        return "tokens"
    return "requests" if words.ABOUT_REQUESTS.search(named) else None


def _signs(error: ErrorBody) -> set[Sign]:
    found = {words.NUMBERED.get((name, _number(value))) for name, value in error.fields}
    for code in error.codes:
        found.add(next((sign for sign, codes in words.CODES if codes.search(code)), None))
    return {sign for sign in found if sign is not None}


def _number(value: object) -> int:
    text = str(value)
    return int(text) if len(text) < 10 and text.isdigit() else -1


def _status(http_status: int, error: ErrorBody, signs: set[Sign]) -> int:
    """The HTTP status, or the one that an error inside an answer stands for (0: none)."""
    if http_status >= 300:
        return http_status
    coded = (words.STATUSES[sign] for sign in words.STATUSES if sign in signs)
    return error.status or next(coded, 0)


def _of_request(status: int, error: ErrorBody, signs: set[Sign], refused: bool) -> Kind | None:
    """A refusal that concerns this request alone, or None."""
    if Sign.CONTENT in signs or (not refused and status != 401 and _refuses_content(error)):
        return Kind(Cause.CONTENT_FILTER, Verdict.FINAL)
    if _failed_generation(status, error, signs, refused):
        return Kind(Cause.BAD_RESPONSE, Verdict.RETRY, failed_generation=True)
    if status in _REDIRECTS or status in (401, 402, 404):
        return None
    if Sign.CONTEXT in signs or (
        not refused and 400 <= status < 500 and words.CONTEXT_WORDS.search(error.words)
    ):
        return Kind(Cause.CONTEXT_LENGTH, Verdict.FINAL)
    per_minute = words.PER_MINUTE_WORDS.search(error.words)
    if (
        status == 413
        or Sign.TOO_LARGE in signs
        or ((refused or per_minute) and is_too_large(error))
    ):
        return Kind(Cause.TOO_LARGE, Verdict.FINAL)
    return None


def _refuses_content(error: ErrorBody) -> bool:
    return bool(
        words.CONTENT_WORDS.search(error.text) and not words.ACCOUNT_WORDS.search(error.words)
    )


def _failed_generation(status: int, error: ErrorBody, signs: set[Sign], refused: bool) -> bool:
    if Sign.GENERATION in signs or error.has_generation:
        return True
    if refused or status in _NOT_GENERATED or names_format(error.params):
        return False
    return bool(words.GENERATION_WORDS.search(error.words))


def names_format(params: Iterable[str]) -> bool:
    """Whether the parameter that asks for a schema is named as the fault."""
    return any(words.FORMAT_NAMES.search(name) for name in params)


def _of_account(
    status: int, error: ErrorBody, signs: set[Sign], refused: bool, wait: float | None
) -> Kind | None:
    """A failure that only the user can end, at the provider; or None."""
    if status in _REDIRECTS or status == 404:
        return None
    if (refused or status == 403) and _no_quota(error):
        return Kind(Cause.QUOTA, Verdict.STOP, remedy=remedies.NO_QUOTA)
    throttled = any("throttl" in code.lower() for code in error.codes)
    spent = status == 402 or (Sign.QUOTA in signs and not throttled)
    spent = spent or bool(words.QUOTA_WORDS.search(error.words))
    if not spent and wait is None and Sign.RATE not in signs:
        spent = _asks_to_pay(status, error)
    return Kind(Cause.QUOTA, Verdict.STOP) if spent else None


def _asks_to_pay(status: int, error: ErrorBody) -> bool:
    """By words that a rate limit uses too, where none is named."""
    if words.PAY_WORDS.search(error.words):
        return not words.RATE_WORDS.search(error.words)
    return status in (403, 429) and bool(words.WEAK_QUOTA_WORDS.search(error.words))


def _no_quota(error: ErrorBody) -> bool:
    """Whether a limit is 0: the tier has none of it."""
    if words.NO_QUOTA_WORDS.search(error.words):
        return True
    return any(name in words.NO_QUOTA_FIELDS and str(value) == "0" for name, value in error.fields)


def _refusal(
    status: int,
    error: ErrorBody,
    signs: set[Sign],
    headers: Mapping[str, str],
    wait: float | None,
    now_s: float,
) -> Kind:
    """A rate limit, a limit per day, or a lack of capacity."""
    if status == 498 or words.NO_CAPACITY_WORDS.search(error.text):
        return Kind(Cause.OVERLOADED, Verdict.RETRY, wait)
    of_day = day_reset_s(headers, now_s)
    if of_day is None and not _is_per_day(error, signs):
        return Kind(Cause.RATE_LIMIT, Verdict.WAIT, wait)
    reset, place = day_reset(error, now_s)
    given = of_day or wait
    # where the provider is known to renew at midnight, a wait of seconds is not the reset
    if given is not None and (given >= LEAST_DAY_RESET_S or place != "Pacific"):
        return Kind(Cause.RATE_LIMIT, Verdict.STOP, given, per_day=True)
    remedy = remedies.DAY_QUOTA[place]
    return Kind(Cause.RATE_LIMIT, Verdict.STOP, reset, remedy, per_day=True)


def _is_per_day(error: ErrorBody, signs: set[Sign]) -> bool:
    if Sign.PER_DAY in signs:
        return True
    named = (value for _name, value in error.fields if isinstance(value, str))
    if any(words.PER_DAY_ID.search(value) and "://" not in value for value in named):
        return True
    per_minute = words.PER_MINUTE_WORDS.search(error.words)
    return bool(words.PER_DAY_WORDS.search(error.words)) and not per_minute


def _by_status(status: int, error: ErrorBody, signs: set[Sign]) -> tuple[Cause, Verdict]:
    if status in _REDIRECTS or status == 404:
        return Cause.NOT_FOUND, Verdict.STOP
    if status >= 500 or status in (408, 409, 425):
        return _passing(status, error, signs), Verdict.RETRY
    if 400 <= status < 500:
        return _client_error(status, error, signs)
    if Sign.OVERLOADED in signs:
        return Cause.OVERLOADED, Verdict.RETRY
    return Cause.BAD_RESPONSE, Verdict.RETRY


def _passing(status: int, error: ErrorBody, signs: set[Sign]) -> Cause:
    """The cause of a failure that may pass by itself."""
    if status == 408:
        return Cause.TIMEOUT
    if status in (409, 425):
        return Cause.SERVER_ERROR
    overloaded = Sign.OVERLOADED in signs or words.OVERLOADED_WORDS.search(error.text)
    return Cause.OVERLOADED if overloaded or status in _OVERLOADED else Cause.SERVER_ERROR


def _client_error(status: int, error: ErrorBody, signs: set[Sign]) -> tuple[Cause, Verdict]:
    if status in (401, 407):
        return Cause.AUTH, Verdict.STOP
    if Sign.NO_MODEL in signs or (status != 403 and words.NO_MODEL_WORDS.search(error.words)):
        return Cause.NOT_FOUND, Verdict.STOP
    if status == 403 or words.KEY_WORDS.search(error.words):
        return Cause.AUTH, Verdict.STOP
    return Cause.BAD_REQUEST, Verdict.FINAL
