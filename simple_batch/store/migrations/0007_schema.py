"""The JSON Schema that a job's answers are to fit."""

_UP = (
    "ALTER TABLE job ADD COLUMN schema TEXT",
    "ALTER TABLE job ADD COLUMN schema_mode VARCHAR(255) NOT NULL DEFAULT 'send'",
    "ALTER TABLE job ADD COLUMN schema_retry BOOLEAN NOT NULL DEFAULT FALSE",
)
_DOWN = (
    "ALTER TABLE job DROP COLUMN schema_retry",
    "ALTER TABLE job DROP COLUMN schema_mode",
    "ALTER TABLE job DROP COLUMN schema",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
