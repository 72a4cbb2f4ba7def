"""What delivered answers are worth: the outcome of each result, counted by job, and the job options about
it. The outcomes of older results are filled in later, in the background (store/outcome_fill.py)."""

_COLUMNS = (
    ("result", "outcome VARCHAR(255)"),
    ("result", "finish_reason TEXT"),
    ("job", "outcome_ok INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcome_cut_off INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcome_refused INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcome_empty INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcome_tool_call INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcome_schema INTEGER NOT NULL DEFAULT 0"),
    ("job", "outcomes_filled_to INTEGER"),
    ("job", "as_failed VARCHAR(255) NOT NULL DEFAULT ''"),
    ("job", "fail_on VARCHAR(255) NOT NULL DEFAULT ''"),
)


def up(migrator, db):
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    # most answers are ok: without them the index is small, and inserting them costs nothing
    db.execute_sql(
        "CREATE INDEX result_job_id_outcome_idx ON result (job_id, outcome, idx) "
        "WHERE outcome <> 'ok'"
    )
    db.execute_sql(
        "CREATE INDEX job_outcomes_filled_to ON job (outcomes_filled_to) "
        "WHERE outcomes_filled_to IS NOT NULL"
    )
    db.execute_sql("UPDATE job SET outcomes_filled_to = 0 WHERE succeeded > 0 OR failed > 0")


def down(migrator, db):
    db.execute_sql("DROP INDEX job_outcomes_filled_to")
    db.execute_sql("DROP INDEX result_job_id_outcome_idx")
    for table, column in _COLUMNS:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
