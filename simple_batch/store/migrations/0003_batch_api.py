"""What the Batch API needs: tokens, files, deadlines, several configs in one job, webhooks."""

_FINAL = "('completed', 'cancelled', 'expired')"
_FILES_OF_FINISHED = (
    "INSERT INTO api_file (token_id, purpose, filename, created_at, job_id, part, bytes) "
    "SELECT NULL, 'batch_output', 'batch_' || id || '_{part}.jsonl', finished_at, id, '{part}', NULL "
    f"FROM job WHERE status IN {_FINAL} AND deleted_at IS NULL AND finished_at IS NOT NULL AND {{count}} > 0"
)
_UP = (
    "CREATE TABLE token (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, "
    "secret_hash VARCHAR(255) NOT NULL, last4 VARCHAR(255) NOT NULL, sees_all BOOLEAN NOT NULL, "
    "created_at INTEGER NOT NULL, last_used_at INTEGER, revoked_at INTEGER)",
    "CREATE UNIQUE INDEX token_name ON token (name)",
    "CREATE UNIQUE INDEX token_secret_hash ON token (secret_hash)",
    "ALTER TABLE job ADD COLUMN token_id INTEGER REFERENCES token (id) ON DELETE SET NULL",
    "ALTER TABLE job ADD COLUMN endpoint VARCHAR(255) NOT NULL DEFAULT '/v1/chat/completions'",
    "ALTER TABLE job ADD COLUMN input_file_id VARCHAR(255) NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN completion_window VARCHAR(255) NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN deadline_at INTEGER",
    "ALTER TABLE job ADD COLUMN metadata TEXT",
    "ALTER TABLE job ADD COLUMN output_keep_s INTEGER",
    "ALTER TABLE job ADD COLUMN faults TEXT NOT NULL DEFAULT '[]'",
    "UPDATE job SET endpoint = coalesce((SELECT r.url FROM request r WHERE r.job_id = job.id "
    "AND r.idx = 0), endpoint)",
    "CREATE INDEX job_token_id ON job (token_id)",
    "ALTER TABLE request ADD COLUMN config_id INTEGER",
    "CREATE TABLE job_config (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "config_id INTEGER NOT NULL REFERENCES api_config (id) ON DELETE RESTRICT, "
    "PRIMARY KEY (job_id, config_id))",
    "CREATE INDEX job_config_config_id ON job_config (config_id)",
    # AUTOINCREMENT: the id of a file that was deleted never comes again
    "CREATE TABLE api_file (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
    "token_id INTEGER REFERENCES token (id) ON DELETE SET NULL, purpose VARCHAR(255) NOT NULL, "
    "filename TEXT NOT NULL, bytes INTEGER, created_at INTEGER NOT NULL, expires_at INTEGER, "
    "deleted_at INTEGER, upload_id INTEGER REFERENCES upload (id) ON DELETE SET NULL, "
    "job_id INTEGER REFERENCES job (id) ON DELETE CASCADE, part VARCHAR(255) NOT NULL DEFAULT '')",
    "CREATE UNIQUE INDEX api_file_job_id_part ON api_file (job_id, part)",
    "CREATE INDEX api_file_upload_id ON api_file (upload_id)",
    "CREATE INDEX api_file_token_id ON api_file (token_id)",
    _FILES_OF_FINISHED.format(part="output", count="succeeded"),
    _FILES_OF_FINISHED.format(part="error", count="failed + cancelled"),
    "CREATE TABLE idempotency_key (token INTEGER NOT NULL, key VARCHAR(255) NOT NULL, "
    "fingerprint VARCHAR(255) NOT NULL, made INTEGER NOT NULL, created_at INTEGER NOT NULL, "
    "PRIMARY KEY (token, key))",
    "CREATE TABLE webhook (id INTEGER NOT NULL PRIMARY KEY, url TEXT NOT NULL, "
    "secret_encrypted BLOB NOT NULL, token_id INTEGER REFERENCES token (id) ON DELETE CASCADE, "
    "chosen_only BOOLEAN NOT NULL DEFAULT FALSE, created_at INTEGER NOT NULL, disabled_at INTEGER)",
    "CREATE INDEX webhook_token_id ON webhook (token_id)",
    "CREATE TABLE delivery (id INTEGER NOT NULL PRIMARY KEY, "
    "webhook_id INTEGER REFERENCES webhook (id) ON DELETE CASCADE, "
    "email VARCHAR(255) NOT NULL DEFAULT '', "
    "job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, event_id VARCHAR(255) NOT NULL, "
    "type VARCHAR(255) NOT NULL, created_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, "
    "next_at INTEGER, delivered_at INTEGER, last_at INTEGER, http_status INTEGER, "
    "message TEXT NOT NULL DEFAULT '')",
    "CREATE INDEX delivery_next_at ON delivery (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX delivery_job_id ON delivery (job_id)",
    "CREATE INDEX delivery_webhook_id ON delivery (webhook_id)",
)
_DOWN = (
    *(f"DROP TABLE {name}" for name in ("delivery", "webhook", "idempotency_key", "api_file")),
    "DROP TABLE job_config",
    "ALTER TABLE request DROP COLUMN config_id",
    "DROP INDEX job_token_id",
    *(
        f"ALTER TABLE job DROP COLUMN {name}"
        for name in (
            *("faults", "output_keep_s", "metadata", "deadline_at", "completion_window"),
            *("input_file_id", "endpoint", "token_id"),
        )
    ),
    "DROP TABLE token",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
