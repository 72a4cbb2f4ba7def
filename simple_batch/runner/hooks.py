"""Hooks of the runner: its work for jobs other than their calls. The caller that starts it sets them."""

from collections.abc import Callable

import msgspec


class Hooks(msgspec.Struct, frozen=True):
    """``importer(job_id)`` reads the upload of a validating job; ``finalizer(job_id)`` makes the
    result files of one whose requests all have a result, and may be called again;
    ``sweeper()`` removes what was deleted or has expired; ``keeper()`` makes the next backup if it
    is due. Each yields to other greenlets as it works."""

    importer: Callable[[int], None]
    finalizer: Callable[[int], None]
    sweeper: Callable[[], None]
    keeper: Callable[[], None]
