"""Template filters: numbers, durations, money, times, sizes, and how texts are shown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from babel import Locale, numbers
from flask import Flask
from flask_babel import (
    format_datetime,
    format_decimal,
    format_percent,
    get_locale,
    get_timezone,
    gettext,
)
from jinja2 import pass_context
from markupsafe import Markup, escape

from ..core.call_prices import NANO
from ..core.command_names import in_words_of_program
from ..core.content import with_breaks
from ..services import lifecycle
from ..store.outcome_status import FLAWED
from . import labels, text_shape

_SYMBOLS = {"USD": "$", "CNY": "¥", "EUR": "€", "GBP": "£", "JPY": "JP¥"}


@pass_context  # with it, Jinja does not compute the text when it compiles the template
def commands(_context: object, text: str) -> str:
    """A text with the commands that it names, as the program that runs has them."""
    return in_words_of_program(text)


def register(app: Flask) -> None:
    for plain in (
        number,
        duration_ms,
        seconds,
        about_time,
        money,
        cost_money,
        when,
        when_soon,
        clock,
        filesize,
        per_second,
        percent,
        whole_percent,
        local_input,
        sparkline,
    ):
        app.add_template_filter(plain)
    app.add_template_filter(with_breaks)
    app.add_template_filter(markdown)
    app.add_template_filter(commands)
    app.add_template_filter(text_shape.of, "shape")
    app.add_template_filter(text_shape.visible, "visible")
    app.jinja_env.globals["flawed_outcomes"] = FLAWED
    app.jinja_env.globals["longest_text"] = text_shape.LONGEST
    app.jinja_env.globals["longest_json"] = text_shape.LONGEST_JSON
    app.add_template_filter(row_number)
    app.add_template_filter(labels.status, "status_word")
    app.add_template_filter(labels.cause, "cause_word")
    app.add_template_filter(labels.outcome, "outcome_word")
    app.add_template_filter(labels.saved_by, "saved_by")
    app.add_template_filter(labels.remedy, "remedy")
    app.add_template_filter(labels.reason, "reason_word")
    app.add_template_filter(labels.actor, "actor_word")
    app.add_template_filter(labels.role, "role_word")
    app.add_template_filter(labels.audited, "audited_word")
    app.add_template_filter(labels.audited_object, "audited_object")
    app.add_template_filter(labels.translated, "translated")
    app.add_template_filter(labels.stored, "stored_message")
    app.add_template_filter(labels.adjustment, "adjustment_words")
    app.add_template_filter(labels.webhook_place, "webhook_place")
    app.add_template_global(lifecycle.runner_state, "runner_state")
    app.add_template_global(labels.cooldowns, "cooldown_words")
    app.add_template_global(labels.cooldown, "cooldown_word")
    app.add_template_global(lifecycle.by_workers, "by_workers")
    app.jinja_env.globals["worker_command"] = lifecycle.WORKER_COMMAND


def markdown(text: str) -> Markup:
    """A text of a message or an answer as HTML."""
    from . import answer_markdown  # takes 40 ms, which only pages with texts need

    return answer_markdown.rendered(text)


def number(value) -> str:
    return "–" if value is None else _decimal(value, "", get_locale())


@lru_cache(maxsize=4096)  # a page of requests shows the same few numbers two hundred times
def _decimal(value, form: str, locale: Locale | None) -> str:
    return numbers.format_decimal(value, form or None, locale or "en")


def row_number(index) -> str:
    """How people count requests: from 1. Programs count them from 0, and so do URLs."""
    return number(index + 1)


def percent(part, whole) -> str:
    """A share, rounded down: what is not whole never says 100 %, and what is not nothing never 0 %."""
    return _share(part, whole, 1000)


def whole_percent(part, whole) -> str:
    """As ``percent``, without decimals."""
    return _share(part, whole, 100)


def _share(part, whole, steps: int) -> str:
    """The share is a whole number of steps."""
    rounded = steps * part // whole if whole else 0
    few = bool(part) and not rounded
    shown = format_percent(max(rounded, few) / steps, "#,##0.#%")
    return f"<{shown}" if few else shown


def per_second(value) -> str:
    return "–" if not value else f"{format_decimal(round(value, 1 if value < 100 else 0))}/s"


def duration_ms(value) -> str:
    """A latency: ms under a second, else seconds."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{round(value)} ms"
    form = "#,##0.00" if value < 10_000 else "#,##0.0"
    return f"{_decimal(value / 1000, form, get_locale())} s"


def seconds(value) -> str:
    """A duration as m:ss or h:mm:ss."""
    if value is None:
        return "–"
    value = round(value)
    hours, rest = divmod(value, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def about_time(value) -> str:
    """A duration that is estimated: seconds under a minute, else as ``seconds``."""
    if value is None or value >= 59.5:
        return seconds(value)
    return "< 1 s" if value < 1 else f"{round(value)} s"


def money(nano, currency: str = "USD") -> str:
    """Money from nano-units. Small sums keep four digits that mean something; unknown is a word."""
    if nano is None:
        return gettext("unknown")
    amount = Decimal(nano) / NANO
    places = 2
    if amount and amount < 100:
        places = max(2, min(9, 3 - amount.adjusted()))
    text = f"{amount:,.{places}f}"
    if places > 2:
        whole, _, fraction = text.partition(".")
        text = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    return f"{_SYMBOLS.get(currency, currency + ' ')}{text}"


def cost_money(cost: Mapping[str, Any]) -> str:
    """Money from ``{"amount", "currency"}`` as insight gives it."""
    amount = cost["amount"]
    return money(None if amount is None else round(amount * NANO), cost["currency"])


def when(ms, form="yyyy-MM-dd HH:mm:ss") -> Markup | str:
    """A moment in the page's time zone, in UTC on hover."""
    if ms is None:
        return "–"
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    shown = format_datetime(moment, form) if get_locale() else moment.isoformat(" ", "seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), escape(moment.strftime("%Y-%m-%d %H:%M:%S UTC")), shown
    )


def when_soon(ms) -> Markup | str:
    """The same without seconds, and of today without the date."""
    if ms is None:
        return "–"
    day = datetime.fromtimestamp(ms / 1000, get_timezone()).date()
    return when(ms, "HH:mm" if day == datetime.now(get_timezone()).date() else "yyyy-MM-dd HH:mm")


def clock(ms) -> str:
    """The time of day in the page's time zone."""
    return (
        "–" if ms is None else format_datetime(datetime.fromtimestamp(ms / 1000, UTC), "HH:mm:ss")
    )


def local_input(ms) -> str:
    """The moment for a datetime-local field, in the page's time zone; empty for none."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, get_timezone()).strftime("%Y-%m-%dT%H:%M:%S")


def filesize(value) -> str:
    if value is None:
        return "–"
    size = float(value)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            break
        size /= 1024
    return f"{format_decimal(round(size, 0 if unit == 'B' else 1))} {unit}"


def sparkline(values: list[int], label: str) -> Markup | str:
    """A small line of values; its shape is all it says."""
    if len(values) < 2 or not any(values):
        return ""
    step, high = 100 / (len(values) - 1), max(values)
    points = " ".join(
        f"{n * step:.1f},{19 - 18 * value / high:.1f}" for n, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><polyline points="{}"></polyline></svg>'
    ).format(label, points)
