"""Ratings of answers by users, and what all users say of an answer (store/ratings.py)."""

_UP = (
    "CREATE TABLE rating (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "idx INTEGER NOT NULL, rater TEXT NOT NULL, score INTEGER, labels TEXT NOT NULL, "
    "note TEXT NOT NULL, at BIGINT NOT NULL, replaced BOOLEAN NOT NULL DEFAULT FALSE, "
    "PRIMARY KEY (job_id, idx, rater))",
    "CREATE TABLE rated_answer (job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE, "
    "idx INTEGER NOT NULL, raters INTEGER NOT NULL, score INTEGER, labels TEXT NOT NULL, "
    "note TEXT NOT NULL, PRIMARY KEY (job_id, idx))",
    "CREATE INDEX rated_answer_score ON rated_answer (job_id, score, idx)",
    "ALTER TABLE job ADD COLUMN rating_scale VARCHAR(255) NOT NULL DEFAULT 'thumbs'",
    "ALTER TABLE job ADD COLUMN rating_labels TEXT NOT NULL DEFAULT '[]'",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    db.execute_sql("DROP TABLE rating")
    db.execute_sql("DROP TABLE rated_answer")
    db.execute_sql("ALTER TABLE job DROP COLUMN rating_scale")
    db.execute_sql("ALTER TABLE job DROP COLUMN rating_labels")
