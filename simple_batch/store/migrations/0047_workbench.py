"""The workbench of an upload: its sample rows, the answers it got, the versions of its prompt."""

_UP = (
    "CREATE TABLE sample_rows (upload_id INTEGER NOT NULL PRIMARY KEY REFERENCES upload (id) ON DELETE CASCADE, "
    "chosen TEXT NOT NULL, rows BLOB NOT NULL)",
    "CREATE TABLE tried_answer (upload_id INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE, "
    "key VARCHAR(255) NOT NULL, answer BLOB NOT NULL, created_at BIGINT NOT NULL, "
    "PRIMARY KEY (upload_id, key))",
    "CREATE TABLE prompt_version (upload_id INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE, "
    "number INTEGER NOT NULL, texts TEXT NOT NULL, cells TEXT NOT NULL, sent INTEGER NOT NULL, "
    "costs TEXT NOT NULL, actor VARCHAR(255) NOT NULL, created_at BIGINT NOT NULL, "
    "beat_at BIGINT NOT NULL, stop_at BIGINT, ended_at BIGINT, PRIMARY KEY (upload_id, number))",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for table in ("prompt_version", "tried_answer", "sample_rows"):
        db.execute_sql(f"DROP TABLE {table}")
