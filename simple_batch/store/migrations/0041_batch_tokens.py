"""How many tokens may wait in batches of a config's provider, as refusals have shown, by model."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE api_config ADD COLUMN batch_tokens TEXT NOT NULL DEFAULT '{}'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE api_config DROP COLUMN batch_tokens")
