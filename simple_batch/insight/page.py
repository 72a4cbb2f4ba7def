"""A page of rows."""

from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class Page(msgspec.Struct, Generic[Row]):
    """Rows from ``(page - 1) * per_page`` on. ``total`` is a lower bound where ``exact`` is false. ``continue_from`` is where a search that
    stopped at its limit goes on, None where it reached the end."""

    rows: list[Row]
    page: int
    per_page: int
    total: int
    exact: bool = True
    continue_from: int | None = None

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))
