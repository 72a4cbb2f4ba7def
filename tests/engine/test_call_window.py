"""Windows of a minute that close after a number of calls."""

import pytest

from simple_batch.engine.call_window import LATE_S, WINDOW_S, CallWindow


def closed_after(count: int, opened_s: float = 60.0) -> CallWindow:
    """A window that admitted ``count`` calls, refused two more, and was open again."""
    window = CallWindow()
    for number in range(count):
        window.started(0.1 * number)
    for number in range(2):
        window.started(1.0 + number)
        window.refused(1.0 + number)
        window.closed(1.0 + number)
    window.started(opened_s)
    window.opened(opened_s)
    return window


def test_it_is_learned_when_it_opens_after_a_minute():
    window = closed_after(3)
    assert window.count == 3
    assert window.wait_s(60.1) == 0.0
    window.started(60.2)
    window.started(60.4)
    assert window.wait_s(60.5) == pytest.approx(WINDOW_S + LATE_S - 0.5)
    assert window.wait_s(60.0 + WINDOW_S + LATE_S) == 0.0


@pytest.mark.parametrize("opened_s", [3.0, 30.0, 300.0])
def test_what_opens_sooner_or_later_is_no_window_of_a_minute(opened_s):
    assert closed_after(3, opened_s).count is None


def singles(*starts: float, told: bool = False, refused_s: float = 1.0) -> list[float | None]:
    """What it says of single calls that were admitted then; each time another one was refused after."""
    window, said = CallWindow(), []
    for start in starts:
        window.started(start)
        said.append(window.opened(start))
        window.started(start + refused_s)
        window.refused(start + refused_s)
        window.closed(start + refused_s, told)
    return said


def test_single_calls_after_the_same_time_are_a_rate():
    assert singles(0.0, 20.0, 40.2, refused_s=12.0) == [None, None, pytest.approx(20.2)]
    assert singles(0.0, 20.0, 40.2, told=True) == [None, None, pytest.approx(20.2)]


def test_it_may_have_been_open_long_before():
    assert singles(0.0, 20.0, 40.2, refused_s=1.0) == [None, None, None]
    assert singles(0.0, 20.0, 60.0, refused_s=12.0) == [None, None, None]  # not the same time


def test_refusals_before_a_short_closing_do_not_count_for_the_next():
    window = CallWindow()
    for opened, refused in ((0.0, 18.0), (19.0, 20.0), (39.0, 40.0)):
        window.started(opened)
        window.opened(opened)
        window.started(refused)
        window.refused(refused)
        window.closed(refused)
    # 19 s after the second call, which was refused after one second: it may have been open long before
    assert window.opens_at < 39.0 + 10.0


def test_it_is_asked_sooner_where_it_may_have_been_open_long_before():
    window = CallWindow()
    for start in (0.0, 20.0):
        window.started(start)
        window.opened(start)
        window.started(start + 5.0)
        window.refused(start + 5.0)
        window.closed(start + 5.0)
    assert window.opens_at == pytest.approx(20.0 + 10.0)  # between 5 and 20
    window.started(30.0)
    window.refused(30.0)
    assert window.opens_at == pytest.approx(20.0 + 20.0)


def test_it_closes_again_before_the_admitted_call_is_answered():
    window = CallWindow()
    window.started(0.0)
    window.closed(1.0)
    window.started(20.0)
    window.started(20.1)
    window.refused(20.1)
    window.closed(20.2)
    window.opened(20.0)  # the answer comes after the refusal of a later call
    assert window.opens_at is not None


def test_an_answer_of_a_call_before_it_closed_does_not_open_it():
    window = CallWindow()
    window.started(0.0)
    window.closed(1.0)
    window.opened(0.0)
    assert window.opens_at is not None


def test_calls_that_start_before_the_first_answer_count():
    window = CallWindow()
    for number in range(3):
        window.started(0.1 * number)
    window.closed(1.0)
    for start in (60.0, 60.1, 60.2):
        window.started(start)
    window.opened(60.0)  # answered when all three had started
    assert window.count == 3
    assert window.wait_s(60.3) > 59


def test_it_says_when_a_closed_window_opens_at_the_latest():
    window = CallWindow()
    assert window.opens_at is None
    window.started(10.0)
    window.closed(11.0)
    assert window.opens_at == pytest.approx(10.0 + WINDOW_S + LATE_S)


def test_it_shrinks_at_a_refusal_and_grows_after_full_windows():
    window = closed_after(10)
    now = 60.0
    for _ in range(100):
        now += max(0.1, window.wait_s(now))
        window.started(now)
    assert window.count > 10
    grown = window.count
    window.started(now)
    window.refused(now)
    assert window.count < grown
