"""What this process has open besides its database: settings and vault.

Set once by ``open_runtime`` (create_app does it) and read by the doors ``jobs``
and ``configs`` and by the runner, so that a page, a command and a greenlet all
mean the same installation.
"""

from ..store.secrets import Vault, open_vault
from .errors import SettingsError
from .redaction import remember
from .redis_client import password_of
from .settings import Settings

_current: tuple[Settings, Vault] | None = None


def open_runtime(settings: Settings) -> None:
    """Make ``settings`` the ones of this process; makes the instance folders and keys. Raises
    SettingsError where that folder cannot be used."""
    global _current
    remember(settings.SECRET_KEY, settings.SMTP_PASSWORD, password_of(settings.REDIS_URL))
    try:
        settings.uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        if settings.BACKUP_EVERY_HOURS:
            settings.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        _current = settings, open_vault(settings.instance, settings.ENCRYPTION_KEYS)
    except OSError as error:
        raise SettingsError(
            f"The instance folder {settings.instance} cannot be used: {error}. Make it writable for "
            "this user, or set SIMPLE_BATCH_INSTANCE_PATH to another one."
        ) from error


def settings() -> Settings:
    return _opened()[0]


def vault() -> Vault:
    return _opened()[1]


def _opened() -> tuple[Settings, Vault]:
    if _current is None:
        raise RuntimeError("call create_app() (or open_runtime()) first")
    return _current
