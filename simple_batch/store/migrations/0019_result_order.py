"""Results that are alike in what a list is sorted by come in the order of the file: its pages would
otherwise repeat some and leave others out."""

_COLUMNS = ("latency_ms", "finished_at", "output_tokens")
_NULLABLE = {"latency_ms", "output_tokens"}


def up(migrator, db):
    for column in _COLUMNS:
        # ascending order begins with nulls, as on SQLite
        nulls = " /*pg NULLS FIRST */" if column in _NULLABLE else ""
        db.execute_sql(f"DROP INDEX result_job_id_{column}")
        db.execute_sql(
            f"CREATE INDEX result_job_id_{column}_idx ON result (job_id, {column}{nulls}, idx)"
        )


def down(migrator, db):
    for column in _COLUMNS:
        nulls = " /*pg NULLS FIRST */" if column in _NULLABLE else ""
        db.execute_sql(f"DROP INDEX result_job_id_{column}_idx")
        db.execute_sql(f"CREATE INDEX result_job_id_{column} ON result (job_id, {column}{nulls})")
