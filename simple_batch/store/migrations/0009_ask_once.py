"""Identical requests of a job that are asked once."""

_UP = (
    "ALTER TABLE request ADD COLUMN twin INTEGER",
    "CREATE INDEX request_twins ON request (job_id, idx) WHERE twin IS NOT NULL",
    "ALTER TABLE job ADD COLUMN ask_once BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE job ADD COLUMN saved_calls INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN saved_nano INTEGER NOT NULL DEFAULT 0",
)
_DOWN = (
    "ALTER TABLE job DROP COLUMN saved_nano",
    "ALTER TABLE job DROP COLUMN saved_calls",
    "ALTER TABLE job DROP COLUMN ask_once",
    "DROP INDEX request_twins",
    "ALTER TABLE request DROP COLUMN twin",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
