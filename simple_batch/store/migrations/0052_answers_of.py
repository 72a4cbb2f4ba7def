"""Jobs that read the answers of another job, and give these new columns: which job that is."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE upload ADD COLUMN answers_of INTEGER")
    db.execute_sql("ALTER TABLE job ADD COLUMN answers_of INTEGER")
    # few jobs have any
    db.execute_sql("CREATE INDEX job_answers_of ON job (answers_of) WHERE answers_of IS NOT NULL")


def down(migrator, db):
    db.execute_sql("DROP INDEX job_answers_of")
    db.execute_sql("ALTER TABLE job DROP COLUMN answers_of")
    db.execute_sql("ALTER TABLE upload DROP COLUMN answers_of")
