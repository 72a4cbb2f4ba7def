"""Yielding to other greenlets."""

from types import SimpleNamespace

from simple_batch.core import clock


def test_others_have_a_turn_once_the_last_one_is_over(monkeypatch):
    now, turns = [100.0], []

    def slept(seconds):
        turns.append(seconds)
        now[0] += 0.5  # what the others do

    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=slept))
    monkeypatch.setattr(clock, "_last_turn", 0.0)
    clock.give_way()
    assert len(turns) == 1
    for _ in range(3):
        clock.give_way()  # no other greenlet has waited since
    assert len(turns) == 1
    now[0] += 2 * clock.TURN_S
    clock.give_way()
    assert len(turns) == 2
    assert min(turns) > 0  # gevent looks at sockets and timers
