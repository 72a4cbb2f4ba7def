"""What each worker did for a job."""

_UP = (
    "CREATE TABLE job_worker (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "name TEXT NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL, "
    "attempts INTEGER NOT NULL, PRIMARY KEY (job_id, name))"
)


def up(migrator, db):
    db.execute_sql(_UP)


def down(migrator, db):
    db.execute_sql("DROP TABLE job_worker")
