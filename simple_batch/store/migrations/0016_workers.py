"""Workers on several machines, their lanes, and the pages of requests that they share out."""

_UP = (
    "CREATE TABLE worker (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
    "room INTEGER NOT NULL, started_at INTEGER NOT NULL, beat_at INTEGER NOT NULL)",
    "CREATE TABLE page (id INTEGER NOT NULL PRIMARY KEY, "
    "job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, config_id INTEGER NOT NULL, "
    "timeout_s REAL NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, "
    "worker_id TEXT REFERENCES worker (id) ON DELETE SET NULL)",
    "CREATE UNIQUE INDEX page_place ON page (job_id, config_id, timeout_s, first)",
    "CREATE INDEX page_free ON page (job_id, config_id, timeout_s, first) WHERE worker_id IS NULL",
    "CREATE INDEX page_worker_id ON page (worker_id) WHERE worker_id IS NOT NULL",
    "CREATE TABLE lane (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "worker_id TEXT NOT NULL REFERENCES worker (id) ON DELETE CASCADE, live TEXT NOT NULL, "
    "PRIMARY KEY (job_id, worker_id))",
    "CREATE INDEX lane_worker_id ON lane (worker_id)",
)
_DOWN = ("DROP TABLE lane", "DROP TABLE page", "DROP TABLE worker")


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
