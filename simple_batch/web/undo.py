"""Flashed messages with a button that undoes what they report."""

from collections.abc import Sequence

from flask import flash
from flask_babel import gettext as _


def flash_with_undo(text: str, url: str, fields: Sequence[tuple[str, object]]) -> None:
    """Show ``text`` on the next page, with a button *Undo* that posts ``fields`` (name, value) to ``url``.
    base.html renders it."""
    message = {"text": text, "button": _("Undo"), "url": url, "fields": list(fields)}
    flash(message, "success")  # type: ignore[arg-type]  # a session stores any JSON
