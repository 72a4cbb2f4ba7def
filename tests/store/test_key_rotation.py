"""Changing the encryption key: interrupted anywhere, beside a server, and in every process that
holds it."""

import os
import re
import stat

import pytest
import requests
from cryptography.fernet import Fernet, MultiFernet
from gevent.event import Event

from simple_batch.core import context
from simple_batch.core.errors import ConfigurationError, SettingsError
from simple_batch.services import configs, webhooks
from simple_batch.store import locks, secrets
from simple_batch.store.configs import endpoint_of
from simple_batch.store.models import ALL, ApiConfig, Webhook

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served

KEY, OTHER = "sk-planted-0123456789", "sk-another-0123456789"


@pytest.fixture
def stored(db):
    """A config with a key, one without, and a webhook; returns a function that decrypts what is
    stored."""
    configs.create(configs.ConfigFields(alias="a", base_url="http://x/v1", model="m", key=KEY))
    configs.create(configs.ConfigFields(alias="b", base_url="http://x/v1", model="m"))
    _webhook, secret = webhooks.create("http://x/")

    def opened(vault=None) -> list[str]:
        vault = vault or secrets.open_vault(db.instance)
        sealed = [row.key_encrypted for row in ApiConfig.select().order_by(ApiConfig.id)]
        return [vault.decrypt(one) for one in (*sealed, Webhook.get().secret_encrypted)]

    assert opened() == [KEY, "", secret]
    return opened


def keys(db) -> list[str]:
    return (db.instance / secrets.KEY_FILE).read_text().split()


def test_everything_is_sealed_again_and_the_old_key_goes(db, stored):
    expected, old = stored(), keys(db)
    running, former = context.vault(), bytes(ApiConfig.get_by_id(1).key_encrypted)
    assert secrets.rotate(db.instance) == (2, [])
    (new,) = keys(db)
    assert new not in old
    path = db.instance / secrets.KEY_FILE
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(db.instance.glob("encryption.new"))
    assert stored(secrets.Vault([new])) == expected
    with pytest.raises(ConfigurationError):
        stored(secrets.Vault(old))
    # nothing sealed by the old key is left in the file, not even in its free pages
    kept = postgres.kept(db.instance)
    assert former not in kept
    assert bytes(ApiConfig.get_by_id(1).key_encrypted) in kept
    # a process that ran meanwhile: what it had read before, and what is sealed from now on
    assert running.decrypt(former) == KEY
    assert stored(running) == expected
    assert secrets.Vault([new]).decrypt(running.encrypt("later")) == "later"
    assert secrets.rotate(db.instance, keep_old=True) == (2, [])
    assert keys(db)[1:] == [new]
    assert stored() == expected


def test_secret_headers_are_sealed_again(db):
    given = {"secret_headers": {"X-Team": KEY}, "secret_query": {"code": OTHER}}
    config = configs.create(
        configs.ConfigFields(alias="a", base_url="http://x/v1", model="m", **given)
    )
    assert secrets.rotate(db.instance) == (1, [])
    vault = secrets.open_vault(db.instance)
    endpoint = endpoint_of(configs.get(config.id), vault)
    assert (dict(endpoint.headers), dict(endpoint.query)) == ({"X-Team": KEY}, {"code": OTHER})
    secrets.rotate(db.instance)
    stranger = secrets.Vault([Fernet.generate_key().decode()])
    with pytest.raises(ConfigurationError):
        endpoint_of(configs.get(config.id), stranger)


def test_every_sealed_column_is_found(db, stored):
    columns = {
        f"{model.__name__}.{field.name}"
        for model in ALL
        for field in model._meta.sorted_fields
        if "encrypted" in field.name or "sealed" in field.name
    }
    assert columns == {
        "ApiConfig.key_encrypted",
        "ApiConfig.secrets_encrypted",
        "Webhook.secret_encrypted",
    }
    sealed = context.vault().encrypt('{"headers": {"X-Team": "s3cret-value"}}')
    ApiConfig.update(secrets_encrypted=sealed).where(ApiConfig.id == 1).execute()
    assert {
        f"{field.model.__name__}.{field.name}" for _, field, _, _ in secrets._encrypted_values()
    } == columns


@pytest.mark.parametrize("step", range(1, 6))
def test_broken_off_anywhere_nothing_is_lost(db, stored, monkeypatch, step):
    """Interrupted at the first and second write of the file, before and after the rename, and
    between two secrets."""
    expected = stored()
    seen, real_sync, real_again = [], os.fsync, secrets.Vault.reencrypt

    def count(real, *args):
        seen.append(real)
        if len(seen) == step:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(secrets.os, "fsync", lambda *args: count(real_sync, *args))
    monkeypatch.setattr(secrets.Vault, "reencrypt", lambda *args: count(real_again, *args))
    with pytest.raises(KeyboardInterrupt):
        secrets.rotate(db.instance)
    assert stored() == expected
    monkeypatch.undo()
    assert secrets.rotate(db.instance) == (2, [])
    assert len(keys(db)) == 1
    assert stored() == expected


def test_what_no_key_opens_is_named_and_left(db, stored):
    lost = Fernet(Fernet.generate_key()).encrypt(b"sk-lost-0123456789")
    ApiConfig.update(key_encrypted=lost).where(ApiConfig.alias == "b").execute()
    assert secrets.rotate(db.instance) == (2, ["api_config b"])
    assert bytes(ApiConfig.get(ApiConfig.alias == "b").key_encrypted) == lost


def test_only_one_rotates_at_a_time(db, stored):
    lock = locks.acquire(db.instance / "encryption.lock")
    before = keys(db)
    with pytest.raises(SettingsError, match="Another process"):
        secrets.rotate(db.instance)
    locks.release(lock)
    assert keys(db) == before


def test_keys_of_the_environment_are_their_owners(instance):
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    given = {"SIMPLE_BATCH_ENCRYPTION_KEYS": old, "K": KEY}
    made = ("add-config", "a", "--base-url", "http://x/v1", "--model", "m", "--key-env", "K")
    assert flask(instance, *made, **given).returncode == 0
    refused = flask(instance, "rotate-key", **given)
    assert refused.returncode == 4
    assert "ENCRYPTION_KEYS" in refused.stderr
    assert "--seal-again" in refused.stderr
    assert not (instance / "encryption.key").exists()
    both = {"SIMPLE_BATCH_ENCRYPTION_KEYS": f"{new},{old}"}
    assert flask(instance, "rotate-key", "--seal-again", **both).returncode == 0
    alone = {"SIMPLE_BATCH_ENCRYPTION_KEYS": new}
    tested = flask(instance, "test-config", "a", **alone)
    assert "cannot be opened" not in tested.stderr
    assert (
        "cannot be opened"
        in flask(instance, "test-config", "a", SIMPLE_BATCH_ENCRYPTION_KEYS=old).stderr
    )


class EditedWhileAsked(MisbehavingEndpoint):
    """At most two calls end before ``edited``; later calls with the old key are slow, so that the
    job does not end before the new key is used."""

    def __init__(self):
        super().__init__(e.ok())
        self.edited = Event()

    def _next(self, head: str, body: bytes):
        answer = super()._next(head, body)
        if self.calls <= 2:
            return answer
        return self._held if f"Bearer {KEY}" in head else answer

    def _held(self, connection):
        self.edited.wait()
        e.slow(0.5)(connection)


def test_beside_a_running_server(instance, questions):
    """Its job continues, the config is edited, and both keys are right."""
    with EditedWhileAsked() as endpoint:
        made = ("add-config", "a", "--base-url", endpoint.base_url, "--model", "m")
        assert flask(instance, *made, "--key-env", "K", K=KEY).returncode == 0
        running = served(instance)
        try:
            old = (instance / "encryption.key").read_text()
            job = ("create-job", str(questions(100)), "--config", "a", "--concurrency", "2")
            job_id = flask(instance, *job).stdout.strip()
            wait_until(lambda: endpoint.calls > 2)
            rotated = flask(instance, "rotate-key")
            assert rotated.returncode == 0, rotated.stderr
            assert "1 secret is encrypted" in rotated.stderr
            new = (instance / "encryption.key").read_text().split()
            assert old.strip() not in new
            session = requests.Session()
            page = session.get(f"{running.url}/configs/1").text
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
            fields = {"alias": "a", "base_url": endpoint.base_url, "model": "m", "key": OTHER}
            fields |= {"csrf_token": token, "currency": "USD", "active": "y", "params": "{}"}
            stored = session.post(f"{running.url}/configs/1", data=fields, allow_redirects=False)
            assert stored.status_code == 303, stored.text
            endpoint.edited.set()
            done = flask(instance, "watch-job", job_id)
            assert done.returncode == 0, done.stderr
            assert f"Bearer {OTHER}" in endpoint.heads[-1]
            assert f"Bearer {KEY}" in endpoint.heads[0]
        finally:
            running.stop()
    (sealed,) = postgres.asked(instance, "SELECT key_encrypted FROM api_config")
    assert MultiFernet([Fernet(key) for key in new]).decrypt(sealed).decode() == OTHER
