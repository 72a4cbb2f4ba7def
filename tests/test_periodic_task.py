"""PeriodicTask with real greenlets and the real clock."""

import sys
import time

import gevent
import pytest
from gevent.event import Event

from simple_batch.core.periodic_task import PeriodicTask

from .conftest import wait_until

LONG_S = 60.0


class Work:
    """Notes when it was called; ``fails`` are the numbers of the rounds that fail, ``takes_s`` is how long one takes."""

    def __init__(self, *fails: int, takes_s: float = 0.0):
        self.at: list[float] = []
        self.errors: list[BaseException | None] = []
        self.ended = 0
        self._fails = fails
        self._takes_s = takes_s

    def __call__(self) -> None:
        self.at.append(time.monotonic())
        gevent.sleep(self._takes_s)
        if len(self.at) in self._fails:
            raise ValueError(f"round {len(self.at)}")
        self.ended += 1

    def on_error(self) -> None:
        self.errors.append(sys.exception())

    def gap_s(self, number: int) -> float:
        """From the start of round ``number`` (from 1) to the next one."""
        return self.at[number] - self.at[number - 1]


@pytest.fixture
def started():
    """Starts tasks and stops them at the end of the test."""
    tasks = []

    def start(work: Work, every_s, **options) -> PeriodicTask:
        tasks.append(PeriodicTask(work, every_s, work.on_error, **options))
        tasks[-1].start()
        return tasks[-1]

    yield start
    for task in tasks:
        task.stop()


def test_the_first_round_comes_at_once_and_the_next_after_the_interval(started):
    work = Work()
    started(work, 0.05)
    gevent.sleep(0)
    assert len(work.at) == 1
    wait_until(lambda: len(work.at) >= 3)
    assert work.gap_s(1) >= 0.045
    assert work.gap_s(2) >= 0.045


def test_wait_first_puts_the_first_round_off_by_an_interval(started):
    work = Work()
    began = time.monotonic()
    started(work, 0.05, wait_first=True)
    wait_until(lambda: work.at)
    assert work.at[0] - began >= 0.045


def test_wake_starts_a_round_now(started):
    work = Work()
    task = started(work, LONG_S)
    gevent.sleep(0)
    task.wake()
    wait_until(lambda: len(work.at) == 2)


def test_wake_during_a_round_is_not_forgotten_and_counts_once(started):
    work = Work(takes_s=0.02)
    task = started(work, LONG_S)
    wait_until(lambda: work.at)
    task.wake()
    task.wake()
    wait_until(lambda: work.ended == 2)
    gevent.sleep(0.05)
    assert len(work.at) == 2


def test_after_a_failure_it_reports_the_error_and_goes_on(started):
    work = Work(1, 2)
    task = started(work, 0.01)
    wait_until(lambda: work.ended >= 1)
    assert [str(error) for error in work.errors] == ["round 1", "round 2"]
    assert task.alive


def test_wake_does_not_shorten_the_rest_after_a_failure(started):
    work = Work(1)
    task = started(work, LONG_S, rest_s=0.1)
    wait_until(lambda: work.errors)
    task.wake()
    wait_until(lambda: len(work.at) == 2)
    assert work.gap_s(1) >= 0.095


def test_the_interval_may_change_from_round_to_round(started):
    work = Work()
    started(work, lambda: 0.01 if len(work.at) < 3 else None)
    wait_until(lambda: len(work.at) == 3)
    gevent.sleep(0.05)
    assert len(work.at) == 3  # None: it waits until it is woken


def test_finish_lets_a_round_come_to_its_end(started):
    work = Work(takes_s=0.05)
    task = started(work, 0.01)
    wait_until(lambda: work.at)
    task.finish()
    wait_until(lambda: not task.alive)
    assert (len(work.at), work.ended) == (1, 1)


def test_stop_ends_a_round_and_returns_when_it_has_ended(started):
    work = Work(takes_s=LONG_S)
    task = started(work, 0.01)
    wait_until(lambda: work.at)
    task.stop()
    assert not task.alive
    assert (work.ended, work.errors) == (0, [])  # being stopped is no error


def test_a_task_that_was_stopped_or_finished_starts_again(started):
    work = Work()
    task = started(work, LONG_S)
    gevent.sleep(0)
    for end in (task.stop, task.finish):
        end()
        wait_until(lambda: not task.alive)
        rounds = len(work.at)
        task.start()
        wait_until(lambda: len(work.at) == rounds + 1)  # noqa: B023


def test_rounds_never_overlap(started):
    inside, overlaps, enough = 0, [], Event()

    def work() -> None:
        nonlocal inside
        inside += 1
        overlaps.append(inside)
        gevent.sleep(0.01)
        inside -= 1
        if len(overlaps) == 5:
            enough.set()

    task = PeriodicTask(work, 0.0, lambda: None)
    task.start()
    while not enough.is_set():
        task.wake()
        gevent.sleep(0.001)
    task.stop()
    assert set(overlaps) == {1}


def test_it_stops_although_the_end_of_a_round_comes_out_as_an_error():
    """As with a library whose clean-up raises an error in place of what ended its wait."""

    def work():
        try:
            Event().wait()
        finally:
            raise ValueError("the clean-up failed")

    errors = []
    task = PeriodicTask(work, LONG_S, lambda: errors.append(sys.exception()), rest_s=LONG_S)
    task.start()
    gevent.sleep(0.01)
    with gevent.Timeout(10):
        task.stop()
    assert not task.alive and len(errors) == 1
    task.start()
    gevent.sleep(0.01)
    assert task.alive
    task.stop()
