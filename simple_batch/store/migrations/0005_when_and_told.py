"""When a job runs, in what order, and who is notified of its end."""

_UP = (
    "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN hours VARCHAR(255) NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN zone VARCHAR(255) NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN webhook_id INTEGER REFERENCES webhook (id) ON DELETE SET NULL",
    "ALTER TABLE job ADD COLUMN email VARCHAR(255) NOT NULL DEFAULT ''",
    "CREATE INDEX job_webhook_id ON job (webhook_id)",
)
_DOWN = (
    "DROP INDEX job_webhook_id",
    *(
        f"ALTER TABLE job DROP COLUMN {name}"
        for name in ("email", "webhook_id", "zone", "hours", "priority")
    ),
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
