"""When each user last looked at the finished jobs, and settings that were changed on the pages."""

import time

_UP = (
    "CREATE TABLE jobs_seen (id INTEGER NOT NULL PRIMARY KEY, "
    'user_id INTEGER REFERENCES "user" (id) ON DELETE CASCADE, seen_at BIGINT NOT NULL)',
    "CREATE UNIQUE INDEX jobs_seen_user_id ON jobs_seen (user_id)",
    "CREATE INDEX job_finished_at ON job (finished_at)",
    "CREATE TABLE stored_setting (name VARCHAR(255) NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)
    # what ended before the update is not new
    now = int(time.time() * 1000)
    db.execute_sql(f'INSERT INTO jobs_seen (user_id, seen_at) SELECT id, {now} FROM "user"')
    if db.execute_sql("SELECT id FROM job LIMIT 1").fetchone():
        db.execute_sql(f"INSERT INTO jobs_seen (user_id, seen_at) VALUES (NULL, {now})")


def down(migrator, db):
    db.execute_sql("DROP TABLE stored_setting")
    db.execute_sql("DROP INDEX job_finished_at")
    db.execute_sql("DROP TABLE jobs_seen")
