"""What became of the attempts of an error group: requests that failed with it at the end, and attempts whose
request succeeded later (store/error_groups.py)."""

_FAILED = """
UPDATE error_group SET failed = found.n FROM (
  SELECT ended.job_id, ended.group_key, count(*) AS n FROM (
    SELECT x.job_id, (SELECT a.group_key FROM attempt a WHERE a.job_id = x.job_id AND a.idx = x.idx
      AND a.cause <> '' ORDER BY a.id DESC LIMIT 1) AS group_key
    FROM result x WHERE x.status = 'failed'
  ) AS ended GROUP BY ended.job_id, ended.group_key
) AS found WHERE error_group.job_id = found.job_id AND error_group.group_key = found.group_key
"""
_RECOVERED = """
UPDATE error_group SET recovered = found.n FROM (
  SELECT a.job_id, a.group_key, count(*) AS n FROM attempt a
  JOIN result x ON x.job_id = a.job_id AND x.idx = a.idx
  WHERE x.status = 'succeeded' AND a.cause <> '' GROUP BY a.job_id, a.group_key
) AS found WHERE error_group.job_id = found.job_id AND error_group.group_key = found.group_key
"""


def up(migrator, db):
    for column in ("failed", "recovered"):
        db.execute_sql(f"ALTER TABLE error_group ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    db.execute_sql(_FAILED)
    db.execute_sql(_RECOVERED)


def down(migrator, db):
    for column in ("failed", "recovered"):
        db.execute_sql(f"ALTER TABLE error_group DROP COLUMN {column}")
