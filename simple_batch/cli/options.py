"""The options of create-job and run-job."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec
from babel.dates import LOCALTZ

from .. import intake
from ..core import context, schema
from ..core.domain import Spread
from ..core.errors import InvalidInput, NotFound
from ..services import templates
from ..services.job_options import SCHEMA_MODES, JobOptions, also_of
from .base import PRICE

_PRIORITY = {"high": 1, "normal": 0, "low": -1}
_OPTIONS = (
    click.option("--name", default=""),
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
        "--images",
        metavar="DIR",
        help="Folder of the images that the rows name; default: that of FILE.",
    ),
    click.option("--concurrency", type=int, help="Maximum calls in flight; default: automatic."),
    click.option("--max-retries", type=int, help="Calls after the first."),
    click.option("--spend-cap", type=PRICE, help="Pause at this amount, in the config's currency."),
    click.option(
        "--skip-faulty", is_flag=True, help="Skip invalid lines instead of refusing the file."
    ),
    click.option(
        "--start-at", metavar="TIME", help="Do not start before: 2026-12-24T22:00 (zone optional)."
    ),
    click.option("--ask-once", is_flag=True, help="Send identical requests once."),
    click.option("--reuse-hours", type=float, help="Reuse answers of other jobs up to this age."),
    click.option(
        "--inputs-per-call", type=int, help="Maximum inputs of an embeddings call; 1: one each."
    ),
    click.option("--deadline", metavar="TIME", help="Unanswered requests expire at this time."),
    click.option("--hours", default="", help="Only send between these hours: 22:00-06:00."),
    click.option("--zone", help="Time zone of hours and times, for example Asia/Shanghai."),
    click.option("--priority", type=click.Choice(list(_PRIORITY))),
    click.option(
        "--also", default="", help="Also send to these configs: b, c; with weights: b=2, c=1."
    ),
    click.option(
        "--spread",
        type=click.Choice([mode.value for mode in Spread]),
        help="Distribution over these configs; default: fast.",
    ),
    click.option("--weight", type=float, help="Weight of --config."),
    click.option("--schema", metavar="FILE", help="JSON Schema for the answers."),
    click.option("--schema-mode", type=click.Choice(SCHEMA_MODES), help="How to request it."),
    click.option(
        "--schema-retry", is_flag=True, help="Ask the model to fix an answer that does not match."
    ),
    click.option(
        "--webhook",
        type=int,
        metavar="ID",
        help="Notify this webhook when the job ends (list-webhooks).",
    ),
    click.option("--email", default="", help="Notify this address when the job ends."),
)


def job_options(function: Callable) -> Callable:
    """Add the options of a command that creates a job."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def new_job(config: str | int, hold: bool = False, **given) -> JobOptions:
    """The JobOptions from these options. Raises InvalidInput."""
    zone = given.pop("zone") or context.settings().TIMEZONE or str(LOCALTZ)
    template, saved = _template(given.pop("template"), given.pop("sheet"))
    template, saved = _sent_to(given.pop("endpoint"), template, saved)
    return JobOptions(
        config=config,
        hold=hold,
        template=template,
        saved=saved,
        priority=_PRIORITY[given.pop("priority") or "normal"],
        start_at=_moment(given.pop("start_at"), zone, "start_at"),
        deadline_at=_moment(given.pop("deadline"), zone, "deadline_at"),
        zone=zone,
        also=also_of(given.pop("also")),
        spread=Spread(given.pop("spread") or Spread.FAST),
        weight=given.pop("weight") or 1.0,
        schema=_schema(given.pop("schema")),
        schema_mode=given.pop("schema_mode") or "send",
        **given,
    )


def _moment(text: str | None, zone: str, field: str) -> int | None:
    """Epoch ms of an ISO 8601 time, in ``zone`` where it names none."""
    if not text:
        return None
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


def _schema(file: str | None) -> dict | None:
    return None if file is None else schema.parse(read(file, "schema"))


def _sent_to(
    endpoint: str | None, template: intake.Template | None, saved: int | None
) -> tuple[intake.Template | None, int | None]:
    """The template with this endpoint. If that is not its own, it is no longer the saved template."""
    if endpoint is None:
        return template, saved
    if template is None:
        raise InvalidInput(
            "Only what a template makes has a choice of endpoint: give --template FILE with "
            "--endpoint.",
            "template",
        )
    kept = saved if endpoint == template.url else None
    return msgspec.structs.replace(template, url=endpoint), kept


def _template(wanted: str | None, sheet: str | None) -> tuple[intake.Template | None, int | None]:
    """The template from a file or a saved one, and the id of its version."""
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
