"""Who else sees a job (core/domain.Sharing). Existing jobs stay as they were: their owner's."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN sharing VARCHAR(255) NOT NULL DEFAULT 'private'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE job DROP COLUMN sharing")
