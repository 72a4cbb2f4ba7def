"""Translates SQL from SQLite's dialect to PostgreSQL's, once per text of a statement. Statements are
written for SQLite and mostly use what PostgreSQL also accepts.

Statements that Peewee generates contain no ``?`` and pass unchanged, except for keywords of DDL. On
PostgreSQL every integer has 64 bits and no text has a length limit, as on SQLite.
"""

import re
from functools import lru_cache

# What stands in such a comment is for PostgreSQL alone: SQLite has one writer and needs no locks.
LOCKING = "/*pg FOR NO KEY UPDATE */"

_ALIKE = (
    (r"/\*pg (.*?) \*/", r"\1"),
    # LIKE takes no notice of case, but keeps it a text search: blobs hold UTF-8
    (r"\bLIKE\b", "ILIKE"),
    (r"\bCAST\(([\w.]+) AS TEXT\)", r"readable(\1)"),
    (r"\binstr\(", "strpos("),
    (r"\bIS \?", "IS NOT DISTINCT FROM ?"),
    (
        r"\bSELECT value FROM json_each\(\?\)",
        "SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(? AS JSON))",
    ),
)
_DDL = (
    (r"\bINTEGER NOT NULL PRIMARY KEY( AUTOINCREMENT)?(?=,)", "BIGSERIAL NOT NULL PRIMARY KEY"),
    (r"\bSERIAL\b", "BIGSERIAL"),
    (r"\bINTEGER\b", "BIGINT"),
    (r"\bVARCHAR\(\d+\)", "TEXT"),
    (r"\bBLOB\b", "BYTEA"),
    (r"\bREAL\b", "DOUBLE PRECISION"),
)
_PLACE = re.compile(r"\?(\d*)")
_INSERT = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES \([?, ]+\)")
_MARK = re.compile(r"[?%]")

# The readable text in bytes that should be UTF-8; of others what is ASCII in them.
READABLE = """
CREATE OR REPLACE FUNCTION readable(raw bytea) RETURNS text LANGUAGE plpgsql
IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN convert_from(raw, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
  RETURN encode(raw, 'escape');
END $$
"""


def for_postgres(sql: str) -> tuple[str, tuple[int, ...] | None]:
    """The statement as psycopg takes it, and which of the values goes into which of its places
    (None: in order)."""
    if sql.startswith(("CREATE TABLE", "ALTER TABLE")):
        return _ddl(sql), None
    if "?" not in sql and "/*pg" not in sql:
        return sql, None
    return _statement(sql)


@lru_cache(maxsize=1024)
def _statement(sql: str) -> tuple[str, tuple[int, ...] | None]:
    for pattern, other in _ALIKE:
        sql = re.sub(pattern, other, sql)
    order, highest = [], 0
    for number in _PLACE.findall(sql):  # a bare one is the next after the highest so far
        place = int(number) if number else highest + 1
        highest = max(highest, place)
        order.append(place - 1)
    sql = _PLACE.sub("?", sql)
    sql = _MARK.sub(lambda mark: "%s" if mark[0] == "?" else "%%", sql)
    return sql, None if order == list(range(len(order))) else tuple(order)


@lru_cache(maxsize=256)
def as_copy(sql: str) -> str | None:
    """The COPY that does what an INSERT of nothing but values does, row by row; None for another
    statement."""
    plain = _INSERT.fullmatch(sql)
    return plain and f"COPY {plain[1]} ({plain[2]}) FROM STDIN"


def _ddl(sql: str) -> str:
    for pattern, other in _DDL:
        sql = re.sub(pattern, other, sql)
    return sql
