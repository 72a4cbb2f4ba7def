"""What was spent on an API config today and this month, beside its caps."""

import time

from .. import periods, runtime
from ..store import spending
from ..store.models import ApiConfig


def spent_now(config: ApiConfig) -> dict:
    """Nano-units of the config's currency: ``day`` and ``month``, by jobs and by rows tried."""
    now = periods.at(time.time(), runtime.settings().TIMEZONE)
    return {
        name: sum(spending.since(config.id, config.currency, getattr(now, name)))
        for name in ("day", "month")
    }
