"""Blocks of money that workers hold under spend caps."""

_UP = (
    "CREATE TABLE spend_block (purse TEXT NOT NULL, purse_id INTEGER NOT NULL, "
    "worker_id TEXT NOT NULL REFERENCES worker (id) ON DELETE CASCADE, currency TEXT NOT NULL, "
    "granted_nano INTEGER NOT NULL, settled_nano INTEGER NOT NULL, committed_nano INTEGER NOT NULL, "
    "PRIMARY KEY (purse, purse_id, worker_id))",
    "CREATE INDEX spend_block_worker_id ON spend_block (worker_id)",
)
_DOWN = ("DROP TABLE spend_block",)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
