"""Spend leases: the blocks that workers hold of the remaining amount of a spend cap.

A worker's claim is the larger of its granted amount and the cost of its calls, less the part that the sums
of the job and the config already include. Total spend plus all claims never exceed a cap by more than the
calls in flight at that moment. Each sum of a block has one writer: the worker reports ``granted`` and
``settled``; ``committed`` grows with its results. Blocks are deleted with the row of their worker.
"""

from collections.abc import Mapping, Sequence

import msgspec

from .models import database, lock_config, lock_job

JOB = "job"
CONFIG = "config"
_ASK = (
    "INSERT INTO spend_block (purse, purse_id, worker_id, currency, granted_nano, settled_nano, "
    "committed_nano) VALUES (?,?,?,?,?,?,?) ON CONFLICT (purse, purse_id, worker_id) DO UPDATE SET "
    "granted_nano = excluded.granted_nano, settled_nano = excluded.settled_nano"
)
_COMMIT = (
    "UPDATE spend_block SET committed_nano = committed_nano + ? "
    "WHERE purse = ? AND purse_id = ? AND currency = ? AND worker_id = ?"
)
_BLOCK = "b.worker_id, b.granted_nano, b.settled_nano, b.committed_nano"
_JOB_LEASES = (
    f"SELECT j.spend_cap, j.cost_nano, {_BLOCK} FROM job j LEFT JOIN spend_block b "
    "ON b.purse = 'job' AND b.purse_id = j.id WHERE j.id = ?"
)
_SPENT = (
    "(SELECT coalesce(sum(cost_nano + tried_nano), 0) FROM spending "
    "WHERE config_id = ?1 AND currency = ?2 AND t >= {})"
)
_CONFIG_LEASES = (
    f"SELECT c.day_cap, {_SPENT.format('?3')}, c.month_cap, {_SPENT.format('?4')}, {_BLOCK} "
    "FROM api_config c LEFT JOIN spend_block b "
    "ON b.purse = 'config' AND b.purse_id = c.id AND b.currency = ?2 WHERE c.id = ?1"
)
_JOB_RESERVED = (
    "SELECT coalesce(sum(p.reserved_nano), 0) FROM batch_part p JOIN job j ON j.id = p.job_id "
    "JOIN api_config c ON c.id = p.config_id WHERE p.job_id = ? AND c.currency = j.currency"
)
_CONFIG_RESERVED = (
    "SELECT coalesce(sum(p.reserved_nano), 0) FROM batch_part p JOIN api_config c ON c.id = p.config_id "
    "WHERE p.config_id = ? AND c.currency = ? AND p.state NOT IN ('merged', 'released')"
)
_RESERVE = "UPDATE batch_part SET reserved_nano = ? WHERE id = ?"


class Account(msgspec.Struct, frozen=True):
    """A spend account: a job's, or a config's in a currency, since the start of its day and its month
    (epoch seconds)."""

    kind: str  # JOB or CONFIG
    id: int
    currency: str = ""
    day: int = 0
    month: int = 0

    @property
    def key(self) -> tuple[str, int, str]:
        return self.kind, self.id, self.currency

    def lock(self) -> None:
        """Lock the account until the transaction ends."""
        (lock_job if self.kind == JOB else lock_config)(self.id)


class Grant(msgspec.Struct, frozen=True):
    """``granted``: the total that the worker may spend since its block began. ``bounds``: the cap and the
    known spend of all workers, for each bound in order."""

    granted: int
    bounds: list[tuple[int | None, int]]


class _Lease(msgspec.Struct, frozen=True):
    granted: int
    settled: int
    committed: int

    @property
    def claim(self) -> int:
        return max(0, max(self.granted, self.settled) - self.committed)

    @property
    def uncommitted(self) -> int:
        return max(0, self.settled - self.committed)


def ask(worker_id: str, account: Account, settled: int, kept: int, wanted: int) -> Grant:
    """Grow the worker's block to ``wanted``, as far as the caps allow; or shrink it to ``wanted``, and to
    ``kept`` if the caps allow less. All values are sums since the block began; ``settled`` is the cost of
    its calls."""
    with database.atomic():
        account.lock()
        bounds, others = _read(account)
        own = others.pop(worker_id, None) or _Lease(0, settled, committed=settled)
        claimed = sum(block.claim for block in others.values())
        known = sum(block.uncommitted for block in others.values())
        known += max(0, settled - own.committed)
        claimed += reserved(account)
        left = [cap - spent - claimed for cap, spent in bounds if cap is not None]
        granted = min([wanted, max(kept, own.committed + min(left))]) if left else wanted
        sums = granted, settled, own.committed
        database.execute_sql(_ASK, (account.kind, account.id, worker_id, account.currency, *sums))
    return Grant(granted, [(cap, spent + known) for cap, spent in bounds])


def free(account: Account, needed: int = 0) -> bool:
    """Whether the caps leave an amount that no worker holds, and that is not reserved for a batch:
    ``needed`` at least (nano-units)."""
    left = left_of(account)
    return left is None or left >= max(needed, 1)


def left_of(account: Account) -> int | None:
    """What the caps leave, without what workers hold and what is reserved for batches, in nano-units; None
    where there is no cap."""
    bounds, blocks = _read(account)
    claimed = sum(block.claim for block in blocks.values()) + reserved(account)
    return min((cap - spent - claimed for cap, spent in bounds if cap is not None), default=None)


def reserved(account: Account) -> int:
    """What batches that have not ended may cost an account, in nano-units."""
    values = (account.id,) if account.kind == JOB else (account.id, account.currency)
    sql = _JOB_RESERVED if account.kind == JOB else _CONFIG_RESERVED
    return database.execute_sql(sql, values).fetchone()[0]


def reserve(part_id: int, accounts: Sequence[Account], cost: int) -> Account | None:
    """Reserve what a part may cost (nano-units), if the caps leave as much; returns the account that does
    not."""
    with database.atomic():
        for account in sorted(accounts, key=lambda one: one.kind, reverse=True):
            account.lock()
        database.execute_sql(_RESERVE, (0, part_id))
        for account in accounts:
            left = left_of(account)
            if left is not None and cost > left:
                return account
        database.execute_sql(_RESERVE, (cost, part_id))
    return None


def commit(worker_id: str, costs: Mapping[tuple[str, int, str], int]) -> None:
    """Record the committed part of a worker's blocks, by keys of accounts, in the transaction that adds it
    to the sums."""
    database.executemany(_COMMIT, [(cost, *key, worker_id) for key, cost in sorted(costs.items())])


def release(worker_id: str, account: Account) -> None:
    """Delete a worker's block: its unspent part is free."""
    where = "purse = ? AND purse_id = ? AND worker_id = ?"
    database.execute_sql(
        f"DELETE FROM spend_block WHERE {where}", (account.kind, account.id, worker_id)
    )


def _read(account: Account) -> tuple[list[tuple[int | None, int]], dict[str, _Lease]]:
    """The caps of an account with what is spent of each, and its blocks by worker: in one
    statement, in which no result is committed half."""
    if account.kind == JOB:
        rows = database.execute_sql(_JOB_LEASES, (account.id,)).fetchall()
    else:
        values = account.id, account.currency, account.day, account.month
        rows = database.execute_sql(_CONFIG_LEASES, values).fetchall()
    if not rows:
        return [], {}  # it was deleted
    bounds: list[tuple[int | None, int]] = []
    leases = {}
    for *figures, worker_id, granted, settled, committed in rows:
        bounds = list(zip(figures[::2], figures[1::2], strict=True))  # the same in every row
        if worker_id is not None:
            leases[worker_id] = _Lease(granted, settled, committed)
    return bounds, leases
