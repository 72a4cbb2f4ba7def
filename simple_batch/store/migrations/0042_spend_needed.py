"""What the next request of a job may cost at most: it waits until its spend caps leave as much."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN spend_needed BIGINT NOT NULL DEFAULT 0")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN spend_needed")
