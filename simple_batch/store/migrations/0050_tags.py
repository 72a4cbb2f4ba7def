"""Tags of jobs."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN tags TEXT NOT NULL DEFAULT ''")
    # the jobs without any are most of them
    db.execute_sql("CREATE INDEX job_tags ON job (tags) WHERE tags <> ''")


def down(migrator, db):
    db.execute_sql("DROP INDEX job_tags")
    db.execute_sql("ALTER TABLE job DROP COLUMN tags")
