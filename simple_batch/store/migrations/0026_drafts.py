"""Drafts of new jobs: the choices typed over an upload, when they changed, and discarding with undo."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE upload ADD COLUMN draft TEXT")
    db.execute_sql("ALTER TABLE upload ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0")
    db.execute_sql("ALTER TABLE upload ADD COLUMN discarded_at BIGINT")
    db.execute_sql("UPDATE upload SET changed_at = created_at")


def down(migrator, db):
    for column in ("draft", "changed_at", "discarded_at"):
        db.execute_sql(f"ALTER TABLE upload DROP COLUMN {column}")
