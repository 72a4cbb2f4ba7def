"""Answers kept for other jobs."""

_UP = (
    "CREATE TABLE kept_answer (id INTEGER NOT NULL PRIMARY KEY, key BLOB NOT NULL, "
    "response BLOB NOT NULL, http_status INTEGER, model TEXT, input_tokens INTEGER, "
    "output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER, "
    "bytes INTEGER NOT NULL, created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX kept_answer_key ON kept_answer (key)",
    "CREATE INDEX kept_answer_created_at ON kept_answer (created_at)",
    "ALTER TABLE job ADD COLUMN reuse_hours REAL",
)
_DOWN = (
    "ALTER TABLE job DROP COLUMN reuse_hours",
    "DROP TABLE kept_answer",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
