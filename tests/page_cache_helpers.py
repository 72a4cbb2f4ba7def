"""Makes the page cache testable without load and without waiting."""

from simple_batch.web import page_cache


class Clock:
    """A clock that stands still until ``now`` (s) is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def always_use_cache(monkeypatch) -> Clock:
    """Have the page cache always answer; returns a clock for the caches."""
    monkeypatch.setattr(page_cache, "RENDER_SHARE", -1.0)
    monkeypatch.setattr(page_cache, "MIN_CLIENTS", 0)
    return Clock()
