"""What was learned about a rejected parameter, in words for pages and commands."""

from .domain import Adjust, Adjustment
from .messages import Message, translatable


def done(adjustment: Adjustment) -> Message:
    """What is done about it, without the reason."""
    if adjustment.action is Adjust.RENAME:
        return translatable(
            "%(parameter)s is sent as %(to)s", parameter=adjustment.parameter, to=adjustment.to
        )
    if adjustment.action is Adjust.LEAVE_OUT:
        return translatable("%(parameter)s is left out", parameter=adjustment.parameter)
    former = "system" if adjustment.to == "developer" else "developer"
    return translatable("role %(former)s is sent as %(to)s", former=former, to=adjustment.to)
