"""Parameters that models reject: those that a user has left out of a job's lines, and those that are the
reason why it is paused."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'")
    db.execute_sql("ALTER TABLE job ADD COLUMN rejected_parameters TEXT NOT NULL DEFAULT '[]'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN rejected_parameters")
    db.execute_sql("ALTER TABLE job DROP COLUMN left_out")
