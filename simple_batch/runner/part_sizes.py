"""How large parts may be where a provider takes less than it says, or says nothing."""

from collections.abc import Mapping

from ..store.models import BatchPart

SHARE = 2  # of a file that is too large: the next has this fraction of it at most


class PartSizes:
    """Of one job. What is learned holds until the job run ends."""

    def __init__(self) -> None:
        self._most: dict[int, int] = {}  # bytes, by config
        self._alone: dict[int, int] = {}  # of the shortest line that was refused alone

    @property
    def most(self) -> Mapping[int, int]:
        """Bytes that a part may have, by config, where a file was too large."""
        return self._most

    def takes(self, config_id: int, line_bytes: int) -> bool:
        """Whether a line may find its place in a file: none as long was refused with nothing beside."""
        least = self._alone.get(config_id)
        return least is None or line_bytes < least

    def too_large(self, part: BatchPart) -> None:
        """A file of this part was refused for its size."""
        if part.requests == 1:
            least = self._alone.get(part.config_id, part.bytes)
            self._alone[part.config_id] = min(least, part.bytes)
            return
        least = min(self._most.get(part.config_id, part.bytes), part.bytes)
        self._most[part.config_id] = max(1, least // SHARE)
