"""Makes the page cache testable without load and without waiting."""

from simple_batch.web import page_cache


class Clock:
    """A clock that stands still until ``now`` (s) is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def always_use_cache(monkeypatch) -> Clock:
    """Cache pages as under load; returns a clock for the caches."""
    monkeypatch.setattr(page_cache, "SHARE", -1.0)
    monkeypatch.setattr(page_cache, "CROWD", 0)
    return Clock()
