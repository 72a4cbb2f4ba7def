"""Says which API config stopped a job, where the job uses several."""

import msgspec

from ..core.messages import lines, translatable
from ..engine.breaker import PauseReason
from .providers import Provider
from .spend_caps import SPEND_CAP


def named(stop: PauseReason, provider: Provider) -> PauseReason:
    """The reason with the alias and the model of the API config that stopped. The words of a spend
    cap say themselves whose it is."""
    if stop.reason == SPEND_CAP:
        return stop
    detail = translatable(
        "“%(config)s” (model %(model)s): %(detail)s",
        config=provider.alias,
        model=provider.defaults.model,
        detail=stop.detail,
    )
    return msgspec.structs.replace(stop, detail=detail)


def joined(stops: list[PauseReason]) -> PauseReason:
    """The first of the reasons, with the details of all, one a line."""
    details = dict.fromkeys(stop.detail for stop in stops)
    return msgspec.structs.replace(stops[0], detail=lines(details))
