"""The options of create-job and run-job."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec
from babel.dates import LOCALTZ

from .. import intake
from ..core import context, schema
from ..core.errors import InvalidInput, NotFound
from ..services import templates
from ..services.fields import Field, Kind
from ..services.job_option_fields import OPTIONS, JobOptions
from .option_fields import chosen, given, options_of

_OPTIONS = [
    click.option(
        "--template",
        metavar="FILE|NAME[@N]",
        help="Makes a request of each row of a table: a file or a saved template.",
    ),
    click.option(
        "--endpoint",
        type=click.Choice(intake.ENDPOINTS),
        help="Endpoint of the template's requests.",
    ),
    click.option("--sheet", metavar="NAME", help="Sheet of an XLSX workbook; default: the first."),
    click.option(
        "--encoding",
        metavar="NAME",
        help="Encoding of the file (utf-8, cp949, shift_jis, gbk, …); default: detected.",
    ),
    click.option("--lines", is_flag=True, help="Each line of the file is a prompt."),
    click.option(
        "--header/--no-header",
        default=None,
        help="Whether the first row of a table names its columns (else column_1, …).",
    ),
    click.option(
        "--images",
        metavar="DIR",
        help="Folder of the images that the rows name; default: that of FILE.",
    ),
    click.option("--yes", is_flag=True, help="Take a template that looks like a mistake as it is."),
    *options_of(OPTIONS.values()),
]


def job_options(function: Callable) -> Callable:
    """Add the options of a command that creates a job."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def new_job(config: str | int, hold: bool = False, **options) -> JobOptions:
    """The JobOptions from these options. Raises InvalidInput."""
    reading = _reading(options.pop("encoding"), options.pop("lines"), options.pop("header"))
    zone = options.pop("zone") or context.settings().TIMEZONE or str(LOCALTZ)
    prompt, system = options.pop("prompt", None), options.pop("system", None)
    template, saved = _template(options.pop("template"), options.pop("sheet"), prompt, system)
    template, saved = _sent_to(options.pop("endpoint"), template, saved)
    values = {
        name: _value(OPTIONS[name], value, zone)
        for name, value in options.items()
        if given(value, OPTIONS[name].kind)
    }
    return JobOptions(
        config=config,
        hold=hold,
        template=template,
        saved=saved,
        zone=zone,
        reading=reading,
        **values,
    )


def _reading(encoding: str | None, lines: bool, header: bool | None) -> intake.Reading:
    """How the file is read. Raises InvalidInput for an unknown encoding, and UsageError."""
    if lines and header is not None:
        raise click.UsageError("--lines has no header: leave one of the two out.")
    name = intake.encoding_named(encoding) if encoding else ""
    return intake.Reading(name, header, True if lines else None if header is None else False)


def _value(field: Field, value: Any, zone: str) -> Any:
    """What an option says, as JobOptions takes it. Raises InvalidInput."""
    if field.kind is Kind.MOMENT:
        return _moment(value, zone, field.name)
    if field.kind is Kind.CHOICE:
        return chosen(field, value)
    if field.kind is Kind.LIST:
        return field.read(",".join(value) if field.several else value)
    if field.kind is Kind.JSON:
        return schema.parse(read(value, field.name))
    return value


def _moment(text: str, zone: str, field: str) -> int:
    """Epoch ms of an ISO 8601 time, in ``zone`` where it names none."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{text[:60]!r} is no time like 2026-12-24T22:00 or 2026-12-24T22:00+08:00.", field
        ) from None
    except (OSError, ZoneInfoNotFoundError):
        raise InvalidInput(
            f"Zone: {zone[:60]!r} is unknown; one is Asia/Shanghai.", "zone"
        ) from None


def _sent_to(
    endpoint: str | None, template: intake.Template | None, saved: int | None
) -> tuple[intake.Template | None, int | None]:
    """The template with this endpoint. If that is not its own, it is no longer the saved template."""
    if endpoint is None:
        return template, saved
    if template is None:
        raise InvalidInput(
            "--endpoint needs a template: add --template FILE.",
            "template",
        )
    kept = saved if endpoint == template.url else None
    return msgspec.structs.replace(template, url=endpoint), kept


def _template(
    wanted: str | None, sheet: str | None, prompt: str | None = None, system: str | None = None
) -> tuple[intake.Template | None, int | None]:
    """The template from a file, a saved one with the id of its version, or one in a line."""
    if prompt is not None:
        if wanted is not None:
            raise click.UsageError("Give --prompt or --template, not both.")
        return intake.Template(user=prompt, system=system or "", sheet=sheet or ""), None
    if system is not None:
        raise click.UsageError("--system belongs to --prompt: give both.")
    if wanted is None:
        if sheet:
            raise InvalidInput("A sheet is a table: give --template FILE with --sheet.", "template")
        return None, None
    saved = None
    if _is_there(wanted):
        template = intake.template_of_file(read(wanted, "template"))
    else:
        try:
            version = templates.find(wanted)
        except NotFound as error:
            raise InvalidInput(f"There is no file {wanted}. {error}", "template") from None
        template, saved = templates.template_of(version), version.id
    return msgspec.structs.replace(template, sheet=sheet) if sheet else template, saved


def _is_there(file: str) -> bool:
    try:
        return Path(file).exists()
    except (OSError, ValueError):  # no name that a file could have
        return False


def read(file: str, what: str) -> bytes:
    """A file that an option names. Raises InvalidInput."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidInput(f"The {what} {file} cannot be read: {error.strerror}.") from None
