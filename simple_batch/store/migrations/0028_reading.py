"""How an upload is read: encoding, header, lines."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE upload ADD COLUMN reading TEXT")


def down(migrator, db):
    db.execute_sql("ALTER TABLE upload DROP COLUMN reading")
