"""What a job notes about parameters that were adjusted while it ran."""

from ..core.adjustment_words import done
from ..core.domain import Adjust, Adjustment
from ..core.messages import Message, translatable
from ..engine.parameter_adjuster import Origin


def learned(alias: str, adjustment: Adjustment, origin: str) -> Message:
    """The detail of the event."""
    values = {
        "config": alias,
        "model": adjustment.model,
        "change": done(adjustment),
        "reason": adjustment.reason,
    }
    if origin == Origin.JOB and adjustment.action is Adjust.LEAVE_OUT:
        return translatable(
            "%(config)s (%(model)s): %(change)s from now on, although the parameters of this job set it. "
            "The provider says: %(reason)s",
            **values,
        )
    return translatable(
        "%(config)s (%(model)s): %(change)s from now on. The provider says: %(reason)s", **values
    )
