"""Refusals (429) with every form of Retry-After. A refusal costs no retry, only patience. A wait for a
year belongs to the request, since others are answered meanwhile."""

import time

from tests import endpoint as e

from . import Fault, always

TIMES = 2  # refusals of each request that is hit, before it is answered
YEAR_S = 365 * 86_400


def _storm(name: str, *headers) -> Fault:
    def answer(number):
        made = [header() if callable(header) else header for header in headers]
        return e.error(429, "slow down", "rate_limit", *made) if number <= TIMES else e.ok()

    return Fault(name=f"429, {name}", answer=answer, ends=(None,), calls=TIMES + 1)


def _for_ever(name: str, header) -> Fault:
    """More than anybody's patience: the request exceeds a limit alone."""

    def answer(_number):
        return e.error(429, "slow down", "rate_limit", header() if callable(header) else header)

    return Fault(name=f"429, {name}", answer=answer, ends=("too_large",), calls=1)


def _of_a_day(name: str, *headers: str) -> Fault:
    """A limit per day: the job is paused."""
    answer = always(e.error(429, "too many tokens per day", "rate_limit", *headers))
    return Fault(name=f"429, {name}", answer=answer, ends=("cancelled",), pauses="rate_limit")


FAULTS = (
    _storm("no Retry-After"),
    _storm("Retry-After: 0", "Retry-After: 0"),
    _storm("a fraction", "Retry-After: 0.2"),
    _storm("negative", "Retry-After: -30"),
    _storm("a date just ahead", lambda: e.retry_date(1, time.time())),
    _storm("a date in the past", lambda: e.retry_date(-3600, time.time())),
    _storm("epoch seconds", lambda: f"Retry-After: {time.time() + 0.3:.0f}"),
    _storm("milliseconds", "Retry-After-Ms: 200"),
    _storm("rubbish", "Retry-After: soon, I hope"),
    _storm("empty", "Retry-After: "),
    _storm("infinite", "Retry-After: inf"),
    _storm("not a number", "Retry-After: NaN"),
    _storm("a number of 300 digits", f"Retry-After: {'9' * 300}"),
    _storm("an impossible date", "Retry-After: Fri, 99 Foo 2099 99:99:99 GMT"),
    _storm("twice and different", "Retry-After: 0", "Retry-After: 0.1"),
    _for_ever("a year", f"Retry-After: {YEAR_S}"),
    _of_a_day("a day without a time"),
    _of_a_day("a day and two hours", "Retry-After: 7200"),
    _for_ever("a date in a year", lambda: e.retry_date(YEAR_S, time.time())),
)
