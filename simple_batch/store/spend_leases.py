"""Blocks of money: what each worker holds of what a spend cap leaves.

A worker's claim is what it was granted, or what its calls have cost where that is more, less what of
it is in the sums of the job and of the config already. What is spent and all claims together never
exceed a cap by more than the calls that were in flight at it. Each sum of a block has one
writer: ``granted`` and ``settled`` are the worker's word, ``committed`` grows with its results.
Blocks go with the row of their worker.
"""

from collections.abc import Mapping

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
_OF_JOB = (
    f"SELECT j.spend_cap, j.cost_nano, {_BLOCK} FROM job j LEFT JOIN spend_block b "
    "ON b.purse = 'job' AND b.purse_id = j.id WHERE j.id = ?"
)
_SPENT = (
    "(SELECT coalesce(sum(cost_nano + tried_nano), 0) FROM spending "
    "WHERE config_id = ?1 AND currency = ?2 AND t >= {})"
)
_OF_CONFIG = (
    f"SELECT c.day_cap, {_SPENT.format('?3')}, c.month_cap, {_SPENT.format('?4')}, {_BLOCK} "
    "FROM api_config c LEFT JOIN spend_block b "
    "ON b.purse = 'config' AND b.purse_id = c.id AND b.currency = ?2 WHERE c.id = ?1"
)


class Account(msgspec.Struct, frozen=True):
    """Whose money it is: a job's, or a config's in a currency since the moments (epoch seconds) at
    which its day and its month began."""

    purse: str
    id: int
    currency: str = ""
    day: int = 0
    month: int = 0

    @property
    def key(self) -> tuple[str, int, str]:
        return self.purse, self.id, self.currency

    def hold(self) -> None:
        """Keep others that ask for the same money waiting until the transaction ends."""
        (lock_job if self.purse == JOB else lock_config)(self.id)


class Answer(msgspec.Struct, frozen=True):
    """``granted``: what the worker may spend now, in all since it began. ``bounds``: cap and what is
    known to be spent, by everybody, of each bound in their order."""

    granted: int
    bounds: list[tuple[int | None, int]]


class _Block(msgspec.Struct, frozen=True):
    granted: int
    settled: int
    committed: int

    @property
    def claim(self) -> int:
        return max(0, max(self.granted, self.settled) - self.committed)

    @property
    def uncommitted(self) -> int:
        return max(0, self.settled - self.committed)


def ask(worker_id: str, account: Account, settled: int, kept: int, wanted: int) -> Answer:
    """Have the worker's block grow to ``wanted``, as far as the caps leave it; or shrink to it, and
    to ``kept`` where they leave less. All of them are sums since the block was begun, of which
    ``settled`` is what its calls have cost."""
    with database.atomic():
        account.hold()
        bounds, others = _read(account)
        own = others.pop(worker_id, None) or _Block(0, settled, committed=settled)
        claimed = sum(block.claim for block in others.values())
        known = sum(block.uncommitted for block in others.values())
        known += max(0, settled - own.committed)
        left = [cap - spent - claimed for cap, spent in bounds if cap is not None]
        granted = min([wanted, max(kept, own.committed + min(left))]) if left else wanted
        sums = granted, settled, own.committed
        database.execute_sql(_ASK, (account.purse, account.id, worker_id, account.currency, *sums))
    return Answer(granted, [(cap, spent + known) for cap, spent in bounds])


def free(account: Account) -> bool:
    """Whether the caps leave anything that no worker holds."""
    bounds, blocks = _read(account)
    claimed = sum(block.claim for block in blocks.values())
    return all(cap is None or spent + claimed < cap for cap, spent in bounds)


def commit(worker_id: str, costs: Mapping[tuple[str, int, str], int]) -> None:
    """Note what of a worker's blocks is in the sums now, by keys of accounts; part of the
    transaction that puts it there."""
    database.executemany(_COMMIT, [(cost, *key, worker_id) for key, cost in sorted(costs.items())])


def give_back(worker_id: str, account: Account) -> None:
    """Remove a worker's block: what was not spent of it is free."""
    where = "purse = ? AND purse_id = ? AND worker_id = ?"
    database.execute_sql(
        f"DELETE FROM spend_block WHERE {where}", (account.purse, account.id, worker_id)
    )


def _read(account: Account) -> tuple[list[tuple[int | None, int]], dict[str, _Block]]:
    """The caps of an account with what is spent of each, and its blocks by worker: in one
    statement, in which no result is committed half."""
    if account.purse == JOB:
        rows = database.execute_sql(_OF_JOB, (account.id,)).fetchall()
    else:
        values = account.id, account.currency, account.day, account.month
        rows = database.execute_sql(_OF_CONFIG, values).fetchall()
    if not rows:
        return [], {}  # it was deleted
    figures = rows[0][:-4]
    bounds = list(zip(figures[::2], figures[1::2], strict=True))
    held = (row[-4:] for row in rows)
    return bounds, {worker_id: _Block(*sums) for worker_id, *sums in held if worker_id is not None}
