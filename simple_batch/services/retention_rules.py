"""The retention rules in force: those of the environment and of settings.toml, which cannot be changed here, and
the others as they were set on the page *Storage*."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..auth import audit_log
from ..core import context
from ..core.errors import InvalidInput, SettingsError
from ..core.messages import listed, translatable
from ..core.settings import Settings
from ..core.settings.declaration import declarations
from ..store.models import StoredSetting, database

GB = 2**30
_DECLARED = declarations(Settings)
NAMES = tuple(name for name in _DECLARED if name.startswith("RETENTION_"))


def in_force() -> Settings:
    """All settings, with the rules that were set here."""
    return replace(context.settings(), **_stored())


def fixed() -> set[str]:
    """The rules that the environment or settings.toml sets."""
    return set(NAMES) & context.settings().given


def save(values: Mapping[str, Any]) -> None:
    """Set these rules, by name; those that are fixed are left as they are. Raises InvalidInput."""
    open_ones = {name: value for name, value in values.items() if name not in fixed()}
    checked = {name: _checked(name, value) for name, value in open_ones.items()}
    now = in_force()
    changed = {name: value for name, value in checked.items() if value != getattr(now, name)}
    if not changed:
        return
    with database.atomic():
        for name, value in changed.items():
            StoredSetting.delete().where(StoredSetting.name == name).execute()
            StoredSetting.create(name=name, value=str(value))
        changes = listed(f"{name}={value}" for name, value in changed.items())
        audit_log.note("care.rules", detail=changes)


def _stored() -> dict[str, Any]:
    rows = StoredSetting.select().where(StoredSetting.name.in_(NAMES))
    given = context.settings().given
    found = {}
    for row in rows:
        if row.name not in given:
            found[row.name] = _DECLARED[row.name].value_of(row.value, "the page Storage")
    return found


def _checked(name: str, value: Any) -> Any:
    declared = _DECLARED[name]
    unit = GB if name.endswith("_BYTES") else 1  # as the form has it
    try:
        return declared.value_of(value, "the page Storage")
    except SettingsError:
        raise InvalidInput(
            translatable(
                "Cleanup: enter numbers from 0 to %(high)s, or leave fields empty.",
                high=f"{(declared.high or 0) / unit:,.0f}",
            ),
            name,
        ) from None
