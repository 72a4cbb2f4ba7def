"""Switches the streams of an API config off that a job has switched on."""

from ..auth import audit_log
from ..core.messages import translatable
from ..store import stream_needs
from .configs import get


def switch_off(config_id: int) -> None:
    """Call without streams again, until they are needed. Raises NotFound."""
    config = get(config_id)
    stream_needs.forget(config_id)
    audit_log.note(
        "config.update", f"config {config.alias}", translatable("streams are switched off")
    )
