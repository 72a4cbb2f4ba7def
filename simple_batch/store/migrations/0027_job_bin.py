"""The bin: since when a deleted job is in it."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN binned_at BIGINT")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN binned_at")
