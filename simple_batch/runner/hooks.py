"""Hooks of the runner: its work for jobs other than their calls. The caller that starts it sets them."""

from collections.abc import Callable

import msgspec


class Hooks(msgspec.Struct, frozen=True):
    """``import_upload(job_id)`` reads the upload of a validating job; ``finalize(job_id)`` makes the
    result files of one whose requests all have a result, and may be called again;
    ``clean_up()`` removes what was deleted or has expired; ``back_up()`` makes the next backup if it
    is due. Each yields to other greenlets as it works."""

    import_upload: Callable[[int], None]
    finalize: Callable[[int], None]
    clean_up: Callable[[], None]
    back_up: Callable[[], None]
