"""Jobs that are sent through a provider's own batch API: in parts, each of them a batch at the provider."""

_UP = (
    "ALTER TABLE api_config ADD COLUMN batch_api TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN service TEXT NOT NULL DEFAULT 'now'",
    "ALTER TABLE job ADD COLUMN keep_remote_files BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE job ADD COLUMN rest_now_at BIGINT",
    "ALTER TABLE job ADD COLUMN rest_now_reason TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE batch_part (id INTEGER NOT NULL PRIMARY KEY, "
    "job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "config_id INTEGER NOT NULL REFERENCES api_config (id) ON DELETE RESTRICT, "
    "url TEXT NOT NULL, model TEXT NOT NULL, marker TEXT NOT NULL, state TEXT NOT NULL, "
    "requests INTEGER NOT NULL, bytes BIGINT NOT NULL, tokens BIGINT NOT NULL, "
    "reserved_nano BIGINT NOT NULL DEFAULT 0, "
    "file_id TEXT NOT NULL DEFAULT '', provider_id TEXT NOT NULL DEFAULT '', "
    "provider_status TEXT NOT NULL DEFAULT '', remote TEXT NOT NULL DEFAULT '{}', "
    "remote_total INTEGER, remote_succeeded INTEGER, remote_failed INTEGER, "
    "succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, "
    "sent_again INTEGER NOT NULL DEFAULT 0, "
    "cost_nano BIGINT NOT NULL DEFAULT 0, unpriced INTEGER NOT NULL DEFAULT 0, "
    "poll_failures INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '', "
    "not_before BIGINT, created_at BIGINT NOT NULL, tried_at BIGINT, sent_at BIGINT, ended_at BIGINT, "
    "merged_at BIGINT)",
    "CREATE UNIQUE INDEX batch_part_marker ON batch_part (marker)",
    "CREATE INDEX batch_part_job_id ON batch_part (job_id)",
    "CREATE INDEX batch_part_config_id ON batch_part (config_id, state)",
    "CREATE TABLE batch_line (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "idx INTEGER NOT NULL, part_id INTEGER NOT NULL REFERENCES batch_part (id) ON DELETE CASCADE, "
    "PRIMARY KEY (job_id, idx))",
    "CREATE INDEX batch_line_part_id ON batch_line (part_id, idx)",
)
_DOWN = (
    "DROP TABLE batch_line",
    "DROP TABLE batch_part",
    "ALTER TABLE job DROP COLUMN rest_now_reason",
    "ALTER TABLE job DROP COLUMN rest_now_at",
    "ALTER TABLE job DROP COLUMN keep_remote_files",
    "ALTER TABLE job DROP COLUMN service",
    "ALTER TABLE api_config DROP COLUMN batch_api",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
