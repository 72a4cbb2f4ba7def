"""Spend caps: of a job, and of an API config by the day and by the month."""

_UP = (
    "ALTER TABLE api_config ADD COLUMN day_cap INTEGER",
    "ALTER TABLE api_config ADD COLUMN month_cap INTEGER",
    "ALTER TABLE job ADD COLUMN spend_cap INTEGER",
    "ALTER TABLE job ADD COLUMN capped_by INTEGER",
    "CREATE TABLE spending (config_id INTEGER NOT NULL REFERENCES api_config (id) ON DELETE CASCADE, "
    "currency VARCHAR(255) NOT NULL, t INTEGER NOT NULL, cost_nano INTEGER NOT NULL, "
    "tried_nano INTEGER NOT NULL, PRIMARY KEY (config_id, currency, t))",
)
_DOWN = (
    "DROP TABLE spending",
    "ALTER TABLE job DROP COLUMN capped_by",
    "ALTER TABLE job DROP COLUMN spend_cap",
    "ALTER TABLE api_config DROP COLUMN month_cap",
    "ALTER TABLE api_config DROP COLUMN day_cap",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
