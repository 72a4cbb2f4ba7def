"""A separate price for reasoning tokens."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE api_config ADD COLUMN reasoning_price INTEGER")


def down(migrator, db):
    db.execute_sql("ALTER TABLE api_config DROP COLUMN reasoning_price")
