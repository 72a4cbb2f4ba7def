"""Answers that come as streams: since when and why the calls of a config ask for them, and the time to the
first token of each answer, with its quantiles by job and by time."""

_COLUMNS = (
    ("api_config", "stream_since BIGINT"),
    ("api_config", "stream_reason TEXT NOT NULL DEFAULT ''"),
    ("result", "first_token_ms INTEGER"),
    ("job", "first_token BLOB"),
    ("timeline", "first_token BLOB"),
)


def up(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")


def down(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
