"""Cache writes: their tokens and their price. And which calls have estimated tokens."""

_COLUMNS = (
    ("api_config", "cache_write_price BIGINT"),
    ("job", "cache_write_tokens BIGINT NOT NULL DEFAULT 0"),
    ("job", "estimated_calls INTEGER NOT NULL DEFAULT 0"),
    ("result", "cache_write_tokens INTEGER"),
    ("result", "estimated INTEGER"),
    ("attempt", "estimated INTEGER"),
    ("kept_answer", "cache_write_tokens INTEGER"),
    ("kept_answer", "estimated INTEGER"),
)


def up(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")


def down(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
