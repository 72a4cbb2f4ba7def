"""What a request costs in a provider's batch and what that saved; cache writes that are kept for an hour."""

_COLUMNS = (
    ("api_config", "batch_discount DOUBLE PRECISION"),
    ("job", "saved_batch_calls INTEGER NOT NULL DEFAULT 0"),
    ("job", "saved_batch_nano BIGINT NOT NULL DEFAULT 0"),
    ("result", "cache_write_1h_tokens INTEGER"),
    ("kept_answer", "cache_write_1h_tokens INTEGER"),
)


def up(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")


def down(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
