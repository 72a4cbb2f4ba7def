"""A seed for the requests of a job."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN seed BIGINT")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN seed")
