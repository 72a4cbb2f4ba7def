"""When users last asked to find the limits of a connection again."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE api_config ADD COLUMN relearn_at BIGINT")


def down(migrator, db):
    db.execute_sql("ALTER TABLE api_config DROP COLUMN relearn_at")
