"""What the pages need: limits over time, start times, parameters of a job, requests sent again
another way, and the state of the text index."""

_UP = (
    "ALTER TABLE timeline ADD COLUMN in_flight INTEGER",
    "ALTER TABLE timeline ADD COLUMN ceiling INTEGER",
    "ALTER TABLE timeline ADD COLUMN cooling INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN start_at INTEGER",
    "ALTER TABLE job ADD COLUMN params TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE job ADD COLUMN timeout_s REAL",
    "ALTER TABLE job ADD COLUMN overrides INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE override (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "idx INTEGER NOT NULL, config_id INTEGER REFERENCES api_config (id) ON DELETE RESTRICT, "
    "timeout_s REAL, body BLOB, PRIMARY KEY (job_id, idx))",
    "CREATE INDEX override_config_id ON override (config_id)",
    "CREATE INDEX result_job_id_output_tokens ON result (job_id, output_tokens /*pg NULLS FIRST */)",
    "CREATE TABLE text_index (job_id INTEGER NOT NULL PRIMARY KEY "
    "REFERENCES job (id) ON DELETE CASCADE, next_idx INTEGER NOT NULL, "
    "finished_at INTEGER NOT NULL)",
)
_DOWN = (
    "DROP INDEX result_job_id_output_tokens",
    "DROP TABLE text_index",
    "DROP TABLE override",
    "ALTER TABLE job DROP COLUMN overrides",
    "ALTER TABLE job DROP COLUMN timeout_s",
    "ALTER TABLE job DROP COLUMN params",
    "ALTER TABLE job DROP COLUMN start_at",
    "ALTER TABLE timeline DROP COLUMN cooling",
    "ALTER TABLE timeline DROP COLUMN ceiling",
    "ALTER TABLE timeline DROP COLUMN in_flight",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
