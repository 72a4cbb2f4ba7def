"""Views of results that are kept under a name."""

_UP = (
    "CREATE TABLE saved_view (id INTEGER NOT NULL PRIMARY KEY, "
    'user_id INTEGER REFERENCES "user" (id) ON DELETE CASCADE, '
    "job_id INTEGER REFERENCES job (id) ON DELETE CASCADE, "
    "columns TEXT NOT NULL, name TEXT NOT NULL, query TEXT NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE INDEX saved_view_job_id ON saved_view (job_id)",
    "CREATE INDEX saved_view_user_id ON saved_view (user_id)",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    db.execute_sql("DROP TABLE saved_view")
