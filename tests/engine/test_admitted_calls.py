"""The rate that a provider admitted is measured."""

from simple_batch.engine.admitted_calls import FAR_S, AdmittedCalls
from simple_batch.engine.limit_types import Ticket


def started(calls: AdmittedCalls, seconds: float, per_s: int, began: float) -> float:
    """Start calls at an even rate; returns when the last one started."""
    at = began
    for number in range(int(seconds * per_s)):
        at = began + number / per_s
        ticket = Ticket(at, 10, 40, 1)
        ticket.order = number + 1
        calls.started(ticket)
    return at


def test_the_rate_while_far_more_is_offered_is_measured_apart():
    calls = AdmittedCalls()
    calls.measure_from(0.0)
    now = started(calls, 30, 5, 0.0)
    calls.mark_far(True, now)
    now = started(calls, 2 * FAR_S, 10, now)
    calls.mark_far(True, now)  # it goes on
    assert round(calls.measured_far(now)) == 10
    assert round(calls.measured(now)) in (6, 7)
    calls.mark_far(False, now)
    assert calls.measured_far(now) is None


def test_a_short_time_far_above_may_use_what_was_saved_up():
    calls = AdmittedCalls()
    calls.mark_far(True, 0.0)
    now = started(calls, FAR_S / 2, 10, 0.0)
    assert calls.measured_far(now) is None
    calls.mark_far(True, now)
    calls.mark_far(False, now + 1)
    assert calls.measured_far(now + 20) is None
