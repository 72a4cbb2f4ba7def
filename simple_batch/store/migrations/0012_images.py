"""Images that lie beside a table."""

_UP = (
    "ALTER TABLE upload ADD COLUMN images INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE upload_image (upload_id INTEGER NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, "
    "base TEXT NOT NULL, file TEXT, bytes INTEGER NOT NULL, refused TEXT NOT NULL, "
    "PRIMARY KEY (upload_id, name), "
    "FOREIGN KEY (upload_id) REFERENCES upload (id) ON DELETE CASCADE)",
    "CREATE INDEX upload_image_upload_id_key ON upload_image (upload_id, key)",
    "CREATE INDEX upload_image_upload_id_base ON upload_image (upload_id, base)",
    "CREATE INDEX upload_image_upload_id_file ON upload_image (upload_id, file)",
)
_DOWN = (
    "DROP TABLE upload_image",
    "ALTER TABLE upload DROP COLUMN images",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
