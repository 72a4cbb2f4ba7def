"""Jobs that go to several API configs, and what each of them did."""

_FIGURES = ("succeeded", "failed", "input_tokens", "output_tokens", "cost_nano")
_UP = (
    "ALTER TABLE job ADD COLUMN spread VARCHAR(255) NOT NULL DEFAULT ''",
    "ALTER TABLE job_config ADD COLUMN place INTEGER",
    "ALTER TABLE job_config ADD COLUMN weight REAL",
    *(f"ALTER TABLE job_config ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0" for name in _FIGURES),
)
_DOWN = (
    *(f"ALTER TABLE job_config DROP COLUMN {name}" for name in (*_FIGURES, "weight", "place")),
    "ALTER TABLE job DROP COLUMN spread",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
