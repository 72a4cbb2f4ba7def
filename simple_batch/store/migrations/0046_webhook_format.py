"""Webhooks of chat tools: what their messages look like."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE webhook ADD COLUMN format VARCHAR(255) NOT NULL DEFAULT 'standard'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE webhook DROP COLUMN format")
