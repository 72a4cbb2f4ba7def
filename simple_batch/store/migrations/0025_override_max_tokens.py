"""A limit of tokens for a request that is sent again."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE override ADD COLUMN max_tokens INTEGER")


def down(migrator, db):
    db.execute_sql("ALTER TABLE override DROP COLUMN max_tokens")
