"""Reads the settings at the start.

A value comes from the environment (``SIMPLE_BATCH_<NAME>``, or a file named by
``SIMPLE_BATCH_<NAME>_FILE``, as secrets are given to containers), else from
``settings.toml`` in the instance folder, else from the default.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .. import home
from ..address_policy import AddressPolicy
from ..errors import SettingsError
from . import settings_file
from .all_settings import Settings
from .declaration import Declaration, Value, declarations

ENV_PREFIX = "SIMPLE_BATCH_"
WORKERS_FLUSH_INTERVAL_S = 0.2
SHORTEST_PASSWORD = 8  # characters
_DECLARED = declarations(Settings)


def load(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Read the settings; ``overrides`` win over everything (used by tests).

    Raises SettingsError naming the setting, where its value came from and what
    is allowed.
    """
    given = overrides.get("INSTANCE_PATH")
    instance = Path(given).absolute() if given else home.chosen(environ=environ)
    _check_folder(instance)
    path = instance / "settings.toml"
    from_file = settings_file.read(path, set(_DECLARED))
    if "INSTANCE_PATH" in from_file:
        raise SettingsError(
            f"INSTANCE_PATH (from {path}): it cannot stand in the folder that it names. Set the "
            "variable SIMPLE_BATCH_INSTANCE_PATH instead."
        )
    values: dict[str, Any] = {}
    for name, declared in _DECLARED.items():
        if name in overrides:
            values[name] = declared.value_of(overrides[name], "the program")
        elif (value := _from_environment(declared, environ)) is not None:
            values[name] = value
        elif name in from_file:
            declared.check_kind(from_file[name], str(path))
            values[name] = declared.value_of(from_file[name], str(path))
    values["given"] = frozenset(values)
    values["INSTANCE_PATH"] = str(instance)
    _derive(values, home.outputs(instance, environ))
    loaded = Settings(**values)
    _check(loaded)
    return loaded


def misspelt(environ: Iterable[str] = os.environ) -> list[tuple[str, str]]:
    """Variables that look like settings and are none, each with the one that may be meant."""
    found = []
    for variable in environ:
        name = variable.removeprefix(ENV_PREFIX)
        plain = name.removesuffix("_FILE")
        if variable == home.HOME:
            continue
        if variable.startswith(ENV_PREFIX) and plain not in _DECLARED:
            close = settings_file.meant(plain, _DECLARED)
            if close:
                found.append((variable, ENV_PREFIX + close + name.removeprefix(plain)))
    return found


def _from_environment(declared: Declaration, environ: Mapping[str, str]) -> Value | None:
    variable = ENV_PREFIX + declared.name
    if variable in environ:
        return declared.value_of(environ[variable], f"the variable {variable}")
    if variable + "_FILE" not in environ:
        return None
    file = environ[variable + "_FILE"]
    return declared.value_of(_content(variable, file), f"{file}, by the variable {variable}_FILE")


def _content(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE: {path} cannot be read: {error}.") from error


def _derive(values: dict[str, Any], outputs: Path) -> None:
    """Add the defaults that depend on other settings, and on where the program is installed."""
    values.setdefault("LOG_DIR", str(outputs / "logs"))
    values.setdefault("EXPORT_DIR", str(outputs / "exports"))
    longest_answer = values.get("MAX_ANSWER_BYTES", Settings.MAX_ANSWER_BYTES)
    values.setdefault("MAX_ANSWERS_BYTES", max(longest_answer, Settings.MAX_ANSWERS_BYTES))
    if values.get("ENGINE") == "celery":  # several write: fewer and larger commits
        values.setdefault("REQUEST_CACHE_FLUSH_INTERVAL", WORKERS_FLUSH_INTERVAL_S)


def _check(loaded: Settings) -> None:
    """Settings that have to fit each other or something outside. Raises SettingsError."""
    _check_zone(loaded.TIMEZONE)
    AddressPolicy.of(loaded.ALLOWED_PRIVATE_HOSTS)
    if loaded.MAX_ANSWERS_BYTES < loaded.MAX_ANSWER_BYTES:
        raise SettingsError(
            f"MAX_ANSWERS_BYTES={loaded.MAX_ANSWERS_BYTES}: use at least MAX_ANSWER_BYTES "
            f"({loaded.MAX_ANSWER_BYTES}), or make that smaller too."
        )
    if loaded.REDIS_URL and not loaded.REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(
            "REDIS_URL: use redis://host:port/number (rediss:// with TLS, unix:// for a socket)."
        )
    if loaded.ENGINE == "celery":
        _check_workers(loaded)
    if 0 < len(loaded.PASSWORD) < SHORTEST_PASSWORD:
        raise SettingsError(f"PASSWORD: use at least {SHORTEST_PASSWORD} characters.")


def _check_workers(loaded: Settings) -> None:
    """Several machines need shared services."""
    if not loaded.DATABASE_URL.startswith(("postgresql://", "postgres://")):
        raise SettingsError(
            "ENGINE=celery: set DATABASE_URL=postgresql://… too; workers cannot share a SQLite file."
        )
    if not loaded.REDIS_URL:
        raise SettingsError("ENGINE=celery: set REDIS_URL=redis://… too.")
    if loaded.LOGIN_LINK:
        raise SettingsError(
            "LOGIN_LINK: with ENGINE=celery several processes serve, and a link is good for one. Make "
            "a user (flask create-user NAME --role admin), or set SIMPLE_BATCH_PASSWORD."
        )
    address = loaded.WORKER_METRICS
    if address and not re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[\w.-]+):[0-9]{1,5}", address):
        raise SettingsError(f"WORKER_METRICS={address!r}: use host:port, as in 127.0.0.1:9464.")


def _check_folder(instance: Path) -> None:
    try:
        instance.exists()
    except (OSError, ValueError) as error:  # it may not be looked at, is too long or holds a NUL
        raise SettingsError(
            f"The instance folder {str(instance)[:200]!r} cannot be used: "
            f"{getattr(error, 'strerror', None) or error}. Set SIMPLE_BATCH_INSTANCE_PATH to another "
            "folder."
        ) from None
    if instance.exists() and not instance.is_dir():
        raise SettingsError(
            f"The instance folder {instance} is a file: move it away, or set SIMPLE_BATCH_INSTANCE_PATH "
            "to a folder."
        )
    if instance.is_symlink() and not instance.exists():
        raise SettingsError(
            f"The instance folder {instance} is a link to {instance.readlink()}, which is not there: "
            "bring that back, or set SIMPLE_BATCH_INSTANCE_PATH to another folder."
        )


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise SettingsError(f"TIMEZONE={name!r}: no such zone; one is Asia/Shanghai.") from None
