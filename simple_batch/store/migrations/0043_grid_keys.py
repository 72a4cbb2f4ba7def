"""Sort keys of the columns of a job's results (store/column_keys.py)."""

_UP = (
    "CREATE TABLE grid_column (id INTEGER NOT NULL PRIMARY KEY, "
    "job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, name TEXT NOT NULL, "
    "next_idx INTEGER NOT NULL, finished_at BIGINT NOT NULL, wanted_at BIGINT NOT NULL, "
    "removed BOOLEAN NOT NULL DEFAULT FALSE)",
    "CREATE INDEX grid_column_job_id ON grid_column (job_id)",
    "CREATE TABLE grid_key ("
    "column_id INTEGER NOT NULL REFERENCES grid_column (id) ON DELETE CASCADE, "
    "idx INTEGER NOT NULL, kind INTEGER NOT NULL, number REAL NOT NULL, text TEXT NOT NULL, "
    "at BIGINT NOT NULL, PRIMARY KEY (column_id, idx))",
    "CREATE INDEX grid_key_order ON grid_key (column_id, kind, number, text, idx)",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    db.execute_sql("DROP TABLE grid_key")
    db.execute_sql("DROP TABLE grid_column")
