"""Tables through a template: the template and the columns of a job, the cells of its requests."""

_UP = (
    "ALTER TABLE upload ADD COLUMN template TEXT",
    "ALTER TABLE job ADD COLUMN template TEXT",
    "ALTER TABLE job ADD COLUMN header TEXT",
    "ALTER TABLE request ADD COLUMN cells BLOB",
)
_DOWN = (
    "ALTER TABLE request DROP COLUMN cells",
    "ALTER TABLE job DROP COLUMN header",
    "ALTER TABLE job DROP COLUMN template",
    "ALTER TABLE upload DROP COLUMN template",
)


def up(migrator, db):
    for sql in _UP:
        db.execute_sql(sql)


def down(migrator, db):
    for sql in _DOWN:
        db.execute_sql(sql)
