"""API keys and the secrets of webhooks at rest: encrypted with Fernet, newest key first.

The keys are in a file with one key per line, created once with mode 0600, or in a setting. ``rotate``
puts a new key before the old ones in the file and encrypts everything again with it. Running processes
notice the changed file: a secret is encrypted in the transaction that stores it, so either before the
re-encryption or after it, with the new key.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from peewee import BlobField

from ..core.errors import ConfigurationError, SettingsError
from ..core.redaction import remember
from ..core.stored_messages import KEY_LOST
from . import locks
from .models import ALL, database, lock_secrets

log = logging.getLogger(__name__)

KEY_FILE = "encryption.key"
SESSION_FILE = "session.key"
MAKING = "secrets.lock"
SHORTEST = 16  # characters of a key; ours have more
ENCRYPTED = "_encrypted"  # ends the names of encrypted columns


class Vault:
    """Encrypts and decrypts secrets. Raises SettingsError for an invalid Fernet key."""

    def __init__(self, keys: list[str]):
        self._take(keys)

    def encrypt(self, secret: str) -> bytes:
        remember(secret)
        return self._keys().encrypt(secret.encode()) if secret else b""

    def reencrypt(self, encrypted: bytes) -> bytes:
        """The secret encrypted with the newest key. Raises InvalidToken if no key decrypts it."""
        return self._keys().rotate(bytes(encrypted))

    def decrypt(self, encrypted: bytes) -> str:
        """The secret in plain text. Raises ConfigurationError if no known key decrypts it."""
        if not encrypted:
            return ""
        try:
            secret = self._keys().decrypt(bytes(encrypted)).decode()
        except InvalidToken:
            raise ConfigurationError(KEY_LOST()) from None
        remember(secret)
        return secret

    def _keys(self) -> MultiFernet:
        return self._fernet

    def _take(self, keys: list[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError):
            raise SettingsError(
                "ENCRYPTION_KEYS: not a Fernet key. Make one with: python -c "
                '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            ) from None
        remember(*keys)


class _VaultOfFile(Vault):
    """A vault with the keys of a file that may change. Keys removed from the file still decrypt secrets
    that this process read before."""

    def __init__(self, path: Path):
        self._path = path
        self._seen: tuple[int, int, int] | None = None  # inode, time of change, size
        keys = kept_secret(path, _new_key).split()
        try:
            super().__init__(keys)
        except SettingsError:
            raise _unusable(path, "it holds what is no Fernet key") from None
        self._former: list[str] = []
        self._present: list[str] = []
        self._keys()

    def _keys(self) -> MultiFernet:
        with contextlib.suppress(OSError):  # a file that is gone takes nothing away
            found = self._path.stat()
            seen = found.st_ino, found.st_mtime_ns, found.st_size
            if seen != self._seen and (keys := self._path.read_text().split()):
                self._reload(keys)
                self._seen = seen
        return self._fernet

    def _reload(self, keys: list[str]) -> None:
        former = dict.fromkeys((*self._present, *self._former))
        self._former = [key for key in former if key not in keys]
        self._present = keys
        self._take([*keys, *self._former])


def open_vault(instance: Path, keys: str = "") -> Vault:
    """The vault for an instance: keys from the setting, else from a 0600 file made once."""
    if keys.strip():
        return Vault([key.strip() for key in keys.split(",") if key.strip()])
    return _VaultOfFile(instance / KEY_FILE)


def rotate(instance: Path, keep_old: bool = False) -> tuple[int, list[str]]:
    """Make a new key and encrypt all secrets again with it. Returns how many were, and the places of those
    that no key decrypts, which stay as they are. Old keys are removed, unless ``keep_old`` keeps them for
    backups. After an interruption all secrets can still be decrypted, and a second run finishes the work.

    Raises SettingsError if the file cannot be written, or another rotation is running.
    """
    path = instance / KEY_FILE
    with _alone(instance):
        keys = kept_secret(path, _new_key).split()
        _write(path, [_new_key(), *keys])
        count, unopened = reencrypt(open_vault(instance))
        if not keep_old:
            _write(path, path.read_text().split()[:1])
    return count, unopened


def reencrypt(vault: Vault) -> tuple[int, list[str]]:
    """Encrypt all secrets with the vault's newest key, in one transaction that is on the disk when this
    returns. The old values are overwritten. Returns the same as ``rotate``."""
    count, unopened = 0, []
    if not database.server:
        database.execute_sql("PRAGMA synchronous = full")
        database.execute_sql("PRAGMA secure_delete = on")
    with database.atomic():
        lock_secrets()
        for name, place, row_id, encrypted in _encrypted_values():
            try:
                renewed = vault.reencrypt(encrypted)
            except InvalidToken:
                unopened.append(f"{place.model._meta.table_name} {name}")
                continue
            place.model.update({place: renewed}).where(place.model.id == row_id).execute()
            count += 1
    if not database.server:
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return count, unopened


def _encrypted_values() -> Iterator[tuple[str, BlobField, int, bytes]]:
    """Every encrypted value: the name of its row, its column, the row's id and the value."""
    for model in ALL:
        for field in model._meta.sorted_fields:
            if field.name.endswith(ENCRYPTED):
                label = model._meta.fields.get("alias") or model.id
                rows = model.select(label, model.id, field).where(field != b"")
                for name, row_id, encrypted in list(rows.order_by(model.id).tuples()):
                    yield str(name), field, row_id, encrypted


@contextlib.contextmanager
def _alone(instance: Path):
    lock = locks.acquire(instance / "encryption.lock")
    if lock is None:
        raise SettingsError("Another process is changing the encryption key: try again later.")
    try:
        yield
    finally:
        locks.release(lock)


def _write(path: Path, keys: list[str]) -> None:
    """Replace the file atomically: after a crash it is the old one or the new one."""
    beside = path.with_suffix(".new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(keys) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        if os.name != "nt":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}. The program keeps its keys there."
        ) from error


def _new_key() -> str:
    return Fernet.generate_key().decode()


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in the file, made and written with mode 0600 the first time: by one process, where
    several start at once.

    Raises SettingsError where the file cannot be read or made, or holds no secret of SHORTEST
    characters.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise _unusable(path, f"it is a link to {path.readlink()}, which is not there")
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            raise _unusable(path, "it is no file")
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locks.locked(path.with_name(MAKING)):
                if not path.exists():
                    _write(path, [make()])
        secret = path.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is no text") from error
    except OSError as error:
        where = "" if error.filename in (None, str(path)) else f" ({error.filename})"
        raise _unusable(path, f"{error.strerror}{where}") from error
    if len(secret) < SHORTEST:
        raise _unusable(
            path, f"it holds {len(secret)} characters, a key has more" if secret else "it is empty"
        )
    return secret


def _unusable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"The key file {path} cannot be used: {why}. Restore it from a copy; {_WITHOUT[path.name]}"
    )


def missing_keys(instance: Path, session: bool, encryption: bool) -> str | None:
    """Which of the key files, as far as they are in use, is not as it has to be at the next start."""
    wanted = [(SESSION_FILE, session), (KEY_FILE, encryption)]
    for path in (instance / name for name, used in wanted if used):
        try:
            whole = path.is_file() and len(path.read_text("utf-8").strip()) >= SHORTEST
            if whole:
                continue
            why = "it is empty, cut off or no file" if path.exists() else "it is not there"
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
        return f"{path}: {why}. Restore it from a copy before the next start; {_WITHOUT[path.name]}"
    return None


_WITHOUT = {
    SESSION_FILE: "or delete it: the next start creates a new one, and everyone must log in again.",
    KEY_FILE: "without it (or SIMPLE_BATCH_ENCRYPTION_KEYS) you must enter all API keys again.",
}
