"""What is kept for a moment while many ask, tested without a crowd and without waiting."""

from simple_batch.web import page_cache


class Clock:
    """Time that stands still until ``now`` (s) is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def always_use_cache(monkeypatch) -> Clock:
    """Have every moment be a rush; returns a clock for what is remembered."""
    monkeypatch.setattr(page_cache, "SHARE", -1.0)
    monkeypatch.setattr(page_cache, "CROWD", 0)
    return Clock()
