"""What a running job finds out about the streams of an API config."""

from ..core.clock import now_ms
from ..core.domain import StreamMode
from .models import ApiConfig


def remember(config_id: int, since: int | None, reason: str) -> None:
    """Store since when (epoch ms) and why the calls of a config ask for streams; None: they do no longer.
    A config whose user has chosen is left alone."""
    ApiConfig.update(stream_since=since, stream_reason=reason, updated_at=now_ms()).where(
        ApiConfig.id == config_id, ApiConfig.stream == StreamMode.AUTO.value
    ).execute()


def forget(config_id: int) -> None:
    """Call without streams again, until they are needed."""
    remember(config_id, None, "")
