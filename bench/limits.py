"""The limits that the benchmark's endpoint enforces, and what it counts.

A rate is a token bucket that refills steadily and holds two seconds' worth. The answers do not mention
the limits, not even in Retry-After: that is the hard case.
"""

import time

TOKENS_PER_CALL = 80
HELD_S = 2.0
FIRST_S = 10.0  # not measured: the time to find the limit


class Rate:
    """Units per second by a schedule [(from second, rate)]; ``cost`` units a call."""

    def __init__(self, schedule, cost=1, held=None):
        self.schedule, self.cost, self.held = schedule, cost, held
        self.level, self.at = held or HELD_S * schedule[0][1], 0.0

    def rate(self, at):
        return [rate for start, rate in self.schedule if start <= at][-1]

    def admit(self, at):
        rate = self.rate(at)
        self.level = min(self.held or HELD_S * rate, self.level + (at - self.at) * rate)
        self.at = at
        if self.level < self.cost:
            return False
        self.level -= self.cost
        return True

    def ended(self):
        pass

    def allowed(self, start, end, _busy):
        """The number of calls that the limit allows between two seconds."""
        edges = [*(at for at, _ in self.schedule if start < at < end), end]
        calls = 0.0
        for edge in edges:
            calls += (edge - start) * self.rate(start) / self.cost
            start = edge
        return calls


class Concurrency:
    """Limits the calls at a time."""

    def __init__(self, most):
        self.most, self.running = most, 0

    def admit(self, _at):
        if self.running >= self.most:
            return False
        self.running += 1
        return True

    def ended(self):
        self.running -= 1

    def allowed(self, start, end, mean_s):
        return self.most * (end - start) / mean_s


SPREAD_S = (0.2, 0.8)
LATENCIES = {"one": (0.5, 0.5), "three": (0.3, 0.4)}  # seconds of a call, where not SPREAD_S
STRAYS = {"rpm_strays": 0.02}  # the share of calls that is refused at random besides
LIMITS = {
    "rpm_strays": lambda seconds: Rate([(0, 10)]),
    "one": lambda seconds: Concurrency(1),
    "three": lambda seconds: Rate([(0, 3 / 60)], held=3),
    "rpm": lambda seconds: Rate([(0, 10)]),
    "tpm": lambda seconds: Rate([(0, 1000)], TOKENS_PER_CALL),
    "concurrency": lambda seconds: Concurrency(20),
    "changing": lambda seconds: Rate([(0, 10), (seconds / 3, 5), (2 * seconds / 3, 10)]),
}


class Meter:
    """Counts from the first call on."""

    def __init__(self, limit):
        self.limit = limit
        self.strays = self.good = 0  # calls refused at random; answers
        self.seconds = 0.0  # until the last answer
        self.began = None
        self.admitted, self.refused, self.busy_s = [], [], 0.0
        self.running = self.most = 0  # calls at a time

    def admit(self, seconds):
        now = time.monotonic()
        self.began = self.began or now
        at = now - self.began
        good = self.limit.admit(at)
        (self.admitted if good else self.refused).append(at)
        if good:
            self.busy_s += seconds
            self.running += 1
            self.most = max(self.most, self.running)
        return good

    def stray(self):
        """A call is refused at random, whatever the limit."""
        self.began = self.began or time.monotonic()
        self.strays += 1

    def ended(self):
        self.good += 1
        self.seconds = time.monotonic() - self.began
        self.running -= 1
        self.limit.ended()

    def stats(self):
        """Counts since the first call; ``used`` and ``allowed`` leave out its first seconds."""
        if self.began is None:
            return {"at": 0.0, "good": 0}
        at = time.monotonic() - self.began
        mean_s = self.busy_s / max(1, len(self.admitted))
        used = sum(t >= FIRST_S for t in self.admitted)
        calls = len(self.admitted) + len(self.refused) + self.strays
        return {
            "at": at,
            "calls": calls,
            "refused": len(self.refused),
            "strays": self.strays,
            "good": self.good,
            "seconds": self.seconds,
            "most": self.most,
            "used": used,
            "allowed": self.limit.allowed(FIRST_S, at, mean_s),
            "by_second": [_count(self.admitted, at), _count(self.refused, at)],
        }


def _count(times, at):
    found = [0] * (int(at) + 1)
    for t in times:
        found[min(int(t), int(at))] += 1
    return found
