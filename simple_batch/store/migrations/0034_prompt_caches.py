"""Shared prefixes of requests (core/prompt_prefix.py), and whether a job sends with prompt caches in mind."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE request ADD COLUMN prefix BIGINT")
    db.execute_sql("ALTER TABLE job ADD COLUMN cache_aware BOOLEAN")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN cache_aware")
    db.execute_sql("ALTER TABLE request DROP COLUMN prefix")
