"""The input of a part: the file that was written when it was planned, or the same again."""

from collections.abc import Iterator

from ..core.clock import give_way, now_ms
from ..engine.batch_api.batch_client import PartInput
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart
from .part_files import PartFiles
from .part_lines import MakerOf, Unfit

PAGE = 200


class InputChanged(Exception):
    """The input cannot be made again as it was: the config or the job was edited since."""


class PartInputs:
    """``maker_of(config_id)`` makes the lines of requests. ``deadline_at`` (epoch ms) is the job's."""

    def __init__(self, files: PartFiles, maker_of: MakerOf, deadline_at: int | None = None):
        self._files = files
        self._maker_of = maker_of
        self._deadline_at = deadline_at

    def of(self, part: BatchPart) -> PartInput:
        """What the part sends; its file is made again where it is not there, whole. Raises InputChanged
        where that is not possible, OSError where it cannot be written."""
        if not self._files.has_input(part.id, part.bytes):
            self._write_again(part)
        return self.named(part)

    def named(self, part: BatchPart) -> PartInput:
        """The same without a look at the file: for calls that do not read it."""
        left_ms = None if self._deadline_at is None else self._deadline_at - now_ms()
        return PartInput(
            marker=part.marker,
            url=part.url,
            model=part.model,
            path=self._files.input(part.id),
            requests=part.requests,
            since=part.created_at,
            within_h=None if left_ms is None else max(0, left_ms) / 3_600_000,
        )

    def _write_again(self, part: BatchPart) -> None:
        self._files.remove(part.id)
        size = count = 0
        for lines in self._pages(part):
            self._files.append(part.id, lines)
            size += sum(len(line) + 1 for line in lines)
            count += len(lines)
            give_way()
        if count != part.requests:
            raise InputChanged
        if size != part.bytes:
            part.bytes = size
            retry_while_unavailable(lambda: batch_parts.note(part.id, bytes=size))

    def _pages(self, part: BatchPart) -> Iterator[list[bytes]]:
        maker, after = self._maker_of(part.config_id), -1
        while requests := retry_while_unavailable(batch_parts.lines, part.id, after, PAGE):
            try:
                lines = [maker.make(request) for request in requests]
            except Unfit as unfit:
                raise InputChanged from unfit
            if any((line.model, line.url) != (part.model, part.url) for line in lines):
                raise InputChanged
            yield [line.data for line in lines]
            after = requests[-1].index
