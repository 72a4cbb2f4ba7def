"""The outcome of a form, so that posting it again makes nothing more."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE idempotency_key ADD COLUMN outcome TEXT")


def down(migrator, db):
    db.execute_sql("DELETE FROM idempotency_key WHERE fingerprint = 'form'")
    db.execute_sql("ALTER TABLE idempotency_key DROP COLUMN outcome")
