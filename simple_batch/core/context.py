"""The settings and the vault of this process.

``services.lifecycle.open_context`` sets them once; everything that reads them here means the same
installation.
"""

from typing import Protocol

from .settings import Settings


class Vault(Protocol):
    """Seals and opens secrets (store/secrets.py)."""

    def encrypt(self, secret: str) -> bytes: ...

    def decrypt(self, encrypted: bytes) -> str: ...


_current: tuple[Settings, Vault] | None = None


def set_context(settings: Settings, vault: Vault) -> None:
    """Make these the ones of this process."""
    global _current
    _current = settings, vault


def settings() -> Settings:
    return _opened()[0]


def vault() -> Vault:
    return _opened()[1]


def _opened() -> tuple[Settings, Vault]:
    if _current is None:
        raise RuntimeError("call create_app() (or services.lifecycle.open_context()) first")
    return _current
