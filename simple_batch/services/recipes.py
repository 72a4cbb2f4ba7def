"""Recipes: the options of a job as a file, to reuse them for another job."""

from typing import Any

import msgspec

from ..core.errors import InvalidInput, NotFound
from ..core.json_faults import decoding_fault
from ..core.messages import translatable
from ..intake import Reading, Template
from . import configs, job_options
from .fields import Field, Kind
from .job_option_fields import OPTIONS, JobOptions

VERSION = 1
MAX_BYTES = 400_000


_KEPT = [field for field in OPTIONS.values() if field.recipe]


def _key(field: Field) -> tuple[str, Any, Any]:
    """A recipe's key for an option: its name, type and default."""
    kind = str if field.kind is Kind.LIST else field.type
    if field.recipe_if:
        return field.recipe, kind | msgspec.UnsetType, msgspec.UNSET
    default = "" if field.kind is Kind.LIST else field.default
    return field.recipe, kind, default


_Recipe: Any = msgspec.defstruct(
    "_Recipe",
    [
        ("simple_batch_recipe", int),
        ("config", str),
        *map(_key, _KEPT),
        ("template", Template | msgspec.UnsetType, msgspec.UNSET),
        ("header", bool | msgspec.UnsetType, msgspec.UNSET),
        ("lines", bool | msgspec.UnsetType, msgspec.UNSET),
    ],
    forbid_unknown_fields=True,
)


def dump(new: JobOptions) -> bytes:
    """The choices as JSON to be kept: the config by its alias, no key, no data."""
    kept = _Recipe(
        simple_batch_recipe=VERSION,
        config=configs.get(new.config).alias,
        template=new.template or msgspec.UNSET,
        # how a file is read where that is not the usual way; its encoding is of that file alone
        header=False if new.reading.header is False and not new.reading.lines else msgspec.UNSET,
        lines=True if new.reading.lines else msgspec.UNSET,
    )
    for field in _KEPT:
        value = getattr(new, field.name)
        if not field.recipe_if or getattr(new, field.recipe_if) is not None:
            setattr(kept, field.recipe, field.write(value) if field.kind is Kind.LIST else value)
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"


def _reading(kept: Any) -> Reading:
    """How the recipe says that a file is read; None where it says nothing."""
    header, lines = (
        None if value is msgspec.UNSET else value for value in (kept.header, kept.lines)
    )
    return Reading("", header, lines)


def load(data: bytes) -> JobOptions:
    """The choices that ``dump`` kept. Raises InvalidInput where it is none, or where its API
    config is not known here."""
    try:
        kept = msgspec.json.decode(data, type=_Recipe)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            translatable(
                "This is not a settings file of Simple Batch: %(error)s",
                error=decoding_fault(error, data),
            ),
            "recipe",
        ) from None
    if kept.simple_batch_recipe != VERSION:
        raise InvalidInput(
            translatable(
                "The settings file has version %(version)s. This program reads %(known)s.",
                version=kept.simple_batch_recipe,
                known=VERSION,
            ),
            "recipe",
        )
    try:
        config = configs.get(kept.config)
    except NotFound:
        raise InvalidInput(
            translatable(
                "The settings file names the connection %(config)r. Create one with that "
                "name first.",
                config=kept.config,
            ),
            "recipe",
        ) from None
    new = JobOptions(config=config.id, template=kept.template or None, reading=_reading(kept))
    for field in _KEPT:
        value = getattr(kept, field.recipe)
        if value is not msgspec.UNSET:
            setattr(new, field.name, field.read(value) if field.kind is Kind.LIST else value)
    job_options.shares(new)
    job_options.columns(new, "recipe")  # wrong values are said now, not at the launch
    return new
