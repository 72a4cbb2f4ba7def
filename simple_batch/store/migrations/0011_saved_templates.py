"""Templates saved under a name, in versions; which one an upload and a job were made with."""

_UP = (
    "CREATE TABLE saved_template (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, "
    "created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX saved_template_name ON saved_template (name)",
    "CREATE TABLE template_version (id INTEGER NOT NULL PRIMARY KEY, "
    "saved_id INTEGER NOT NULL REFERENCES saved_template (id) ON DELETE CASCADE, "
    "number INTEGER NOT NULL, text TEXT NOT NULL, note TEXT NOT NULL, "
    "actor VARCHAR(255) NOT NULL, restored_from INTEGER, created_at INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX template_version_saved_id_number ON template_version (saved_id, number)",
    "ALTER TABLE upload ADD COLUMN template_version_id INTEGER REFERENCES template_version (id) "
    "ON DELETE SET NULL",
    "CREATE INDEX upload_template_version_id ON upload (template_version_id)",
    "ALTER TABLE job ADD COLUMN template_version_id INTEGER REFERENCES template_version (id) "
    "ON DELETE SET NULL",
    "ALTER TABLE job ADD COLUMN template_from TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX job_template_version_id ON job (template_version_id)",
)
_DOWN = (
    "DROP INDEX job_template_version_id",
    "ALTER TABLE job DROP COLUMN template_from",
    "ALTER TABLE job DROP COLUMN template_version_id",
    "DROP INDEX upload_template_version_id",
    "ALTER TABLE upload DROP COLUMN template_version_id",
    "DROP TABLE template_version",
    "DROP TABLE saved_template",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
