"""Jobs of embeddings that say how many inputs go in a call."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN inputs_per_call INTEGER")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN inputs_per_call")
