"""The service tier: asked for by a job, named by answers. And what a job saved: by the provider's prompt
cache, by tier, by hour, and which part of the saved calls came from other jobs."""

_SAVED = ("cache", "tier", "hours", "reuse")
_COLUMNS = [
    ("result", "service_tier TEXT"),
    ("job", "service_tier TEXT"),
    ("job", "tier_fallbacks INTEGER NOT NULL DEFAULT 0"),
    *(("job", f"saved_{by}_calls INTEGER NOT NULL DEFAULT 0") for by in _SAVED),
    *(("job", f"saved_{by}_nano BIGINT NOT NULL DEFAULT 0") for by in _SAVED),
]


def up(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")


def down(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
