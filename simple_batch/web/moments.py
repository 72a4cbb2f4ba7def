"""Moments as the user's clock shows them, in the time zone of the page."""

from datetime import datetime

from flask_babel import get_timezone

from ..errors import InvalidInput
from ..wording import said


def epoch_ms(local: datetime) -> int:
    """The moment of a clock in the page's zone."""
    return round(local.replace(tzinfo=get_timezone()).timestamp() * 1000)


def with_epochs(args) -> dict | None:
    """URL parameters whose ``from`` and ``to`` came from datetime fields, with epoch seconds in
    their place, as addresses that are passed on have them; None where there is nothing to change.
    Raises InvalidInput."""
    local = {name: args[name] for name in ("from", "to") if "T" in args.get(name, "")}
    if not local:
        return None
    found = {**args.to_dict(flat=False)}
    for name, value in local.items():
        try:
            found[name] = epoch_ms(datetime.fromisoformat(value)) // 1000
        except (ValueError, OverflowError):
            raise InvalidInput(
                said("%(name)s=%(value)r: not a time.", name=name, value=value), name
            ) from None
    return {name: value for name, value in found.items() if value not in ("", [""])}
