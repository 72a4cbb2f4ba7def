"""The settings and the vault of this process.

``services.lifecycle.open_context`` sets them once; everything that reads them here means the same
installation.
"""

from typing import Protocol

from .settings import Settings


class Vault(Protocol):
    """Encrypts and decrypts secrets (store/secrets.py)."""

    def encrypt(self, secret: str) -> bytes:
        """The secret, encrypted. What ``decrypt`` takes."""
        ...

    def decrypt(self, encrypted: bytes) -> str:
        """The secret. Raises ConfigurationError where no key opens it."""
        ...


_current: tuple[Settings, Vault] | None = None


def set_context(settings: Settings, vault: Vault) -> None:
    """Make these the ones of this process."""
    global _current
    _current = settings, vault


def settings() -> Settings:
    """Raises RuntimeError before ``set_context``."""
    return _opened()[0]


def vault() -> Vault:
    """Raises RuntimeError before ``set_context``."""
    return _opened()[1]


def _opened() -> tuple[Settings, Vault]:
    if _current is None:
        raise RuntimeError("call create_app() (or services.lifecycle.open_context()) first")
    return _current
