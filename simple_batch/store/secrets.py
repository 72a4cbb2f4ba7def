"""API keys at rest: encrypted with Fernet, newest key first."""

import logging
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..errors import ConfigurationError, SettingsError
from ..wording import said

log = logging.getLogger(__name__)

KEY_FILE = "encryption.key"
SESSION_FILE = "session.key"


class Vault:
    """Seals and opens API keys."""

    def __init__(self, keys: list[str]):
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError):
            raise SettingsError(
                "ENCRYPTION_KEYS: not a Fernet key. Make one with: python -c "
                '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            ) from None

    def seal(self, key: str) -> bytes:
        return self._fernet.encrypt(key.encode()) if key else b""

    def open(self, sealed: bytes) -> str:
        """The key in clear. Raises ConfigurationError where no known key opens it."""
        if not sealed:
            return ""
        try:
            return self._fernet.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            raise ConfigurationError(
                said(
                    "The stored API key cannot be opened: the encryption key has changed. Restore "
                    "it (SIMPLE_BATCH_ENCRYPTION_KEYS or instance/encryption.key), or enter the "
                    "API key again."
                )
            ) from None


def open_vault(instance: Path, keys: str = "") -> Vault:
    """The vault for an instance: keys from the setting, else from a 0600 file made once."""
    if keys.strip():
        return Vault([key.strip() for key in keys.split(",") if key.strip()])
    text = kept_secret(instance / KEY_FILE, lambda: Fernet.generate_key().decode())
    return Vault(text.split())


def kept_secret(path: Path, make) -> str:
    """The secret in the file, made and written with mode 0600 the first time.

    Raises SettingsError where the file cannot be read or made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}. The program keeps its own keys there."
        ) from error
