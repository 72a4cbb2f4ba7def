"""Users, what is whose, the scopes of tokens, and the audit log."""

_OWNED = ("upload", "job")
_UP = (
    'CREATE TABLE "user" (id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, '
    "password_hash TEXT NOT NULL, stamp TEXT NOT NULL, created_at INTEGER NOT NULL, "
    "last_login_at INTEGER, disabled_at INTEGER)",
    'CREATE UNIQUE INDEX user_name ON "user" (name)',
    *(
        sql
        for table in _OWNED
        for sql in (
            f'ALTER TABLE {table} ADD COLUMN user_id INTEGER REFERENCES "user" (id) ON DELETE SET NULL',
            f"CREATE INDEX {table}_user_id ON {table} (user_id)",
        )
    ),
    'ALTER TABLE token ADD COLUMN user_id INTEGER REFERENCES "user" (id) ON DELETE CASCADE',
    "CREATE INDEX token_user_id ON token (user_id)",
    "ALTER TABLE token ADD COLUMN scope TEXT NOT NULL DEFAULT 'run'",
    "CREATE TABLE audit (id INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, "
    "address TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE INDEX audit_at ON audit (at)",
    "CREATE INDEX audit_actor_action ON audit (actor, action)",
)
_DOWN = (
    "DROP TABLE audit",
    "ALTER TABLE token DROP COLUMN scope",
    *(
        sql
        for table in ("token", *_OWNED)
        for sql in (f"DROP INDEX {table}_user_id", f"ALTER TABLE {table} DROP COLUMN user_id")
    ),
    'DROP TABLE "user"',
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
