"""Lets the requests of a part go: they are pending again, unless they have a result."""

import secrets
from collections.abc import Collection

from ..core.domain import PartState
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart
from ..store.write_pace import Pace
from .part_files import PartFiles


def new_marker(job_id: int) -> str:
    """A name for a part that no other has, as PartInput wants it."""
    return f"sb-{job_id}-{secrets.token_hex(8)}"


def release(
    files: PartFiles, part: BatchPart, former: Collection[PartState], detail: str = ""
) -> bool:
    """Release a part that is in one of the ``former`` states. One that was never sent is removed. False:
    it is in another state."""
    # the state first: a part with fewer requests than its file has must never be sent
    moved = retry_while_unavailable(
        lambda: batch_parts.move(
            part.id, PartState.RELEASED, former, detail=detail, not_before=None, reserved_nano=0
        )
    )
    if moved:
        let_go(part.id)
        if part.state == PartState.PLANNED:
            retry_while_unavailable(batch_parts.discard, part.id)
        elif part.state in batch_parts.AT_PROVIDER:  # there is room for others
            retry_while_unavailable(batch_parts.wake_waiting, part.config_id)
        files.remove(part.id)
    return moved


def let_go(part_id: int) -> None:
    """Let all requests leave a part, in short transactions."""
    with Pace() as pace:
        while pace.step(batch_parts.release_step, part_id, pace.rows):
            pass
