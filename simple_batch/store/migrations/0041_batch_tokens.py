"""How many tokens may wait in batches of a config's provider, as refusals have shown, by model; the parts
that are under way are found by their state."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE api_config ADD COLUMN batch_tokens TEXT NOT NULL DEFAULT '{}'")
    db.execute_sql("CREATE INDEX batch_part_state ON batch_part (state)")


def down(migrator, db):
    db.execute_sql("DROP INDEX batch_part_state")
    db.execute_sql("ALTER TABLE api_config DROP COLUMN batch_tokens")
