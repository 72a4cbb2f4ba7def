"""Opening databases: new, existing, broken, newer than the program; encrypted keys; the latency
sketch."""

import sqlite3
import stat
from pathlib import Path

import peewee
import pytest
from cryptography.fernet import Fernet

from simple_batch.core.errors import ConfigurationError, DatabaseError, SettingsError
from simple_batch.store import locks, models
from simple_batch.store.database import close_database, connected, open_database, sqlite_path
from simple_batch.store.latency_sketch import LatencySketch
from simple_batch.store.secrets import Vault, open_vault


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_the_migrations_make_exactly_the_tables_of_the_models(tmp_path):
    open_database(url(tmp_path / "migrated.db"))
    fresh = peewee.SqliteDatabase(":memory:")
    with fresh.bind_ctx(models.ALL):
        fresh.create_tables(models.ALL)
        expected = {
            name: sorted(column.name for column in fresh.get_columns(name))
            for name in fresh.get_tables()
        }
    with connected():
        found = {
            name: sorted(column.name for column in models.database.get_columns(name))
            for name in models.database.get_tables()
            if name not in ("schema_migration", "sqlite_sequence")
        }
    close_database()
    assert found == expected


def test_opening_again_applies_nothing(tmp_path):
    assert open_database(url(tmp_path / "a.db")) == [
        "0001_initial",
        "0002_pages",
        "0003_batch_api",
        "0004_templates",
        "0005_when_and_told",
        "0006_money",
        "0007_schema",
        "0008_spread",
        "0009_ask_once",
        "0010_cache",
        "0011_saved_templates",
        "0012_images",
        "0013_packs",
        "0014_users",
        "0015_reasoning_price",
        "0016_workers",
        "0017_spend_blocks",
        "0018_work",
        "0019_result_order",
        "0020_forms",
        "0021_seed",
        "0023_usage",
        "0024_outcomes",
        "0025_override_max_tokens",
        "0026_drafts",
        "0027_job_bin",
        "0028_reading",
        "0030_error_groups",
        "0031_connections",
        "0032_streams",
        "0033_service_tier",
        "0034_prompt_caches",
        "0035_rejected_parameters",
        "0036_batch_prices",
        "0040_batch_parts",
        "0041_batch_tokens",
        "0042_spend_needed",
        "0043_grid_keys",
        "0044_saved_views",
        "0045_relearn",
        "0046_webhook_format",
        "0047_workbench",
        "0048_ratings",
        "0049_finished_seen",
        "0050_tags",
        "0051_sharing",
        "0052_answers_of",
    ]
    close_database()
    assert open_database(url(tmp_path / "a.db")) == []
    close_database()


def test_a_file_that_is_no_database_is_reported_and_left_alone(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseError, match=r"a\.db"):
        open_database(url(path))
    assert path.read_bytes() == b"this is no database" * 100


def test_a_newer_database_is_refused(tmp_path):
    path = tmp_path / "a.db"
    open_database(url(path))
    close_database()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01')"
        )
    with pytest.raises(DatabaseError, match="newer"):
        open_database(url(path))


@pytest.mark.parametrize("bad", ["postgresql://x/y", "sqlite://", "sqlite://host/x", "x.db"])
def test_database_urls_that_are_not_understood(bad):
    with pytest.raises(DatabaseError, match="DATABASE_URL"):
        sqlite_path(bad)


def test_nested_blocks_share_a_connection_and_give_it_back(db):
    with connected():
        inner = models.database.connection()
    assert models.database.connection() is inner


def test_keys_are_sealed_and_opened_by_old_keys_too(tmp_path):
    vault = open_vault(tmp_path)
    sealed = vault.encrypt("sk-secret-1234")
    assert b"secret" not in sealed
    key_file = tmp_path / "encryption.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    new = Fernet.generate_key().decode()
    rotated = open_vault(tmp_path, f"{new},{key_file.read_text().strip()}")
    assert rotated.decrypt(sealed) == "sk-secret-1234"
    with pytest.raises(ConfigurationError, match="encryption key has changed"):
        Vault([new]).decrypt(sealed)
    with pytest.raises(SettingsError, match="Fernet"):
        Vault(["nonsense"])


def test_a_lock_is_held_by_one_and_freed(tmp_path):
    first = locks.acquire(tmp_path / "lock")
    assert locks.acquire(tmp_path / "lock") is None
    locks.release(first)
    second = locks.acquire(tmp_path / "lock")
    assert second is not None
    locks.release(second)


def test_quantiles_are_within_two_per_cent_and_merge():
    whole, left, right = LatencySketch(), LatencySketch(), LatencySketch()
    for latency in range(1, 10_001):
        whole.add(latency)
        (left if latency % 3 else right).add(latency)
    left.merge(right)
    assert left.counts == whole.counts == LatencySketch(whole.to_bytes()).counts
    for q in (0.5, 0.9, 0.99):
        assert whole.quantile(q) == pytest.approx(q * 10_000, rel=0.021)
    assert whole.mean() == pytest.approx(5_000, rel=0.01)
    assert LatencySketch().quantile(0.5) is None
    assert sum(count for _, _, count in whole.bins()) == 10_000
