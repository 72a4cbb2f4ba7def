"""What a connection needs besides URL, key and model: its provider and API format, authentication, headers
and query parameters, streams, service tier, price rules and adjusted parameters."""

_COLUMNS = {
    "provider": "TEXT NOT NULL DEFAULT ''",
    "api_format": "VARCHAR(255) NOT NULL DEFAULT 'openai'",
    "auth": "VARCHAR(255) NOT NULL DEFAULT 'bearer'",
    "headers": "TEXT NOT NULL DEFAULT '{}'",
    "query": "TEXT NOT NULL DEFAULT '{}'",
    "stream": "VARCHAR(255) NOT NULL DEFAULT 'auto'",
    "service_tier": "TEXT",
    "price_rules": "TEXT NOT NULL DEFAULT '{}'",
    "adjustments": "TEXT NOT NULL DEFAULT '[]'",
    "secrets_encrypted": "BLOB",
}


def up(migrator, db):
    for name, kind in _COLUMNS.items():
        db.execute_sql(f"ALTER TABLE api_config ADD COLUMN {name} {kind}")


def down(migrator, db):
    for name in _COLUMNS:
        db.execute_sql(f"ALTER TABLE api_config DROP COLUMN {name}")
