"""Spend per API config in buckets of 15 minutes, so that days and months of any time zone can be summed.
Different currencies are never summed."""

from collections.abc import Mapping

from .models import database

WIDTH_S = 900
_ADD = (
    "INSERT INTO spending (config_id, currency, t, cost_nano, tried_nano) VALUES (?,?,?,?,?) "
    "ON CONFLICT (config_id, currency, t) DO UPDATE SET "
    "cost_nano = spending.cost_nano + excluded.cost_nano, "
    "tried_nano = spending.tried_nano + excluded.tried_nano"
)
_SUM = (
    "SELECT coalesce(sum(cost_nano), 0), coalesce(sum(tried_nano), 0) FROM spending "
    "WHERE config_id = ? AND currency = ? AND t >= ?"
)


def bucket(ms: int) -> int:
    """The quarter of an hour of a moment (epoch ms)."""
    return ms // 1000 // WIDTH_S * WIDTH_S


def add(amounts: Mapping[tuple[int, str, int], int]) -> None:
    """Add what jobs spent, by (config, currency, bucket); part of the caller's transaction. In order:
    of two transactions neither then waits for the other."""
    database.executemany(_ADD, [(*key, cost, 0) for key, cost in sorted(amounts.items())])


def add_tried(config_id: int, currency: str, cost: int, now_ms: int) -> None:
    """Add what rows tried before a launch cost."""
    database.execute_sql(_ADD, (config_id, currency, bucket(now_ms), 0, cost))


def since(config_id: int, currency: str, begin_s: int) -> tuple[int, int]:
    """Spend on a config since a moment (epoch seconds): by jobs, and by rows tried."""
    return database.execute_sql(_SUM, (config_id, currency, begin_s)).fetchone()
